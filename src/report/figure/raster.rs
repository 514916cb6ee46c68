//! A figure as pixels.

use super::style::{FAMILY, FONT};

/// Says why a figure could not be turned into pixels.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ChartError {
    #[error("cannot rasterise the figure: {0}")]
    Raster(String),
}

/// Makes a PNG of a figure's SVG, with two pixels for each of its units.
///
/// # Errors
/// When the SVG cannot be read back or encoded.
pub fn png(svg: &str) -> Result<Vec<u8>, ChartError> {
    use resvg::{tiny_skia, usvg};
    let mut options = usvg::Options { font_family: FAMILY.into(), ..usvg::Options::default() };
    options.fontdb_mut().load_font_data(FONT.to_vec());
    let raster = |reason: String| ChartError::Raster(reason);
    let tree = usvg::Tree::from_str(svg, &options).map_err(|fault| raster(fault.to_string()))?;
    let size =
        tree.size().to_int_size().scale_by(2.0).ok_or_else(|| raster("the picture is empty".into()))?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
        .ok_or_else(|| raster("no memory for the pixels".into()))?;
    pixels.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::from_scale(2.0, 2.0), &mut pixels.as_mut());
    encoded(&pixels).map_err(|fault| raster(fault.to_string()))
}

/// Encodes without the alpha channel, for the picture is opaque, and with the fast compressor: the best took half of a picture's time.
fn encoded(pixels: &resvg::tiny_skia::Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let colours = opaque(pixels.data());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&colours)?;
    Ok(bytes)
}

/// Gives red, green and blue of pixels with an alpha channel. Most of a figure is white: what is, is passed over four pixels at a time.
fn opaque(pixels: &[u8]) -> Vec<u8> {
    const WHITE: [u8; 16] = [255; 16];
    let mut colours = vec![255; pixels.len() / 4 * 3];
    let (fours, rest) = pixels.as_chunks::<16>();
    let (places, rest_of_places) = colours.as_chunks_mut::<12>();
    let copy = |place: &mut [u8], pixels: &[u8]| {
        for (colour, pixel) in place.as_chunks_mut::<3>().0.iter_mut().zip(pixels.as_chunks::<4>().0) {
            *colour = [pixel[0], pixel[1], pixel[2]];
        }
    };
    for (place, four) in places.iter_mut().zip(fours).filter(|(_, four)| **four != WHITE) {
        copy(place, four);
    }
    copy(rest_of_places, rest);
    colours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alpha_channel_is_left_out() {
        let pixels: Vec<u8> = (0..7 * 4).map(|k| if k < 16 { 255 } else { k }).collect();
        let mut colours = vec![255; 12];
        colours.extend([16, 17, 18, 20, 21, 22, 24, 25, 26]);
        assert_eq!(opaque(&pixels), colours);
        assert_eq!(opaque(&colours[..8]).len(), 6);
    }
}
