//! A figure as pixels.

use super::style::{FAMILY, FONT};
use rayon::prelude::*;

/// Says why a figure could not be turned into pixels.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ChartError {
    #[error("cannot rasterize the figure: {0}")]
    Raster(String),
}

/// Pixels for each unit of a figure for screens.
const SCREEN: f32 = 2.0;
/// Of a figure whose size in print is known, for each of the 96 dots an inch that SVG counts: 300 dots an inch.
const PRINT: f32 = 300.0 / 96.0;

/// Makes a PNG of a figure's SVG, with two pixels for each of its units, or with 300 an inch where it says its size in print.
///
/// # Errors
/// When the SVG cannot be read back or encoded.
pub fn png(svg: &str) -> Result<Vec<u8>, ChartError> {
    use resvg::{tiny_skia, usvg};
    let mut options = usvg::Options { font_family: FAMILY.into(), ..usvg::Options::default() };
    options.fontdb_mut().load_font_data(FONT.to_vec());
    let raster = |reason: String| ChartError::Raster(reason);
    let tree = usvg::Tree::from_str(svg, &options).map_err(|fault| raster(fault.to_string()))?;
    let head = svg.split('>').next().unwrap_or_default();
    let scale = if head.contains("cm\"") { PRINT } else { SCREEN };
    let size =
        tree.size().to_int_size().scale_by(scale).ok_or_else(|| raster("the picture is empty".into()))?;
    let (width, height) = (size.width(), size.height());
    let mut colors = vec![255; 3 * width as usize * height as usize];
    let band = |(index, colors): (usize, &mut [u8])| {
        let rows = colors.len() / (3 * width as usize);
        let mut pixels = tiny_skia::Pixmap::new(width, rows as u32)
            .ok_or_else(|| raster("no memory for the pixels".into()))?;
        pixels.fill(tiny_skia::Color::WHITE);
        let up = -((index * BAND) as f32);
        let place = tiny_skia::Transform::from_row(scale, 0.0, 0.0, scale, 0.0, up);
        resvg::render(&tree, place, &mut pixels.as_mut());
        opaque(pixels.data(), colors);
        Ok(())
    };
    colors.par_chunks_mut(3 * width as usize * BAND).enumerate().try_for_each(band)?;
    encoded(&colors, width, height).map_err(|fault| raster(fault.to_string()))
}

/// Rows of a picture that are rasterized together, beside others: few, to share them among threads and to touch little memory;
/// many, for each band looks at all shapes.
const BAND: usize = 256;

/// Encodes with the fast compressor and one filter for all rows: a file is a sixth larger than with the best filter of each row, which
/// took a third of a picture's time.
fn encoded(colors: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Sub);
    encoder.write_header()?.write_image_data(colors)?;
    Ok(bytes)
}

/// Writes red, green and blue of pixels with an alpha channel, for the picture is opaque, over white. Most of a figure is white: what
/// is, is passed over four pixels at a time.
fn opaque(pixels: &[u8], colors: &mut [u8]) {
    const WHITE: [u8; 16] = [255; 16];
    let (fours, rest) = pixels.as_chunks::<16>();
    let (places, rest_of_places) = colors.as_chunks_mut::<12>();
    let copy = |place: &mut [u8], pixels: &[u8]| {
        for (color, pixel) in place.as_chunks_mut::<3>().0.iter_mut().zip(pixels.as_chunks::<4>().0) {
            *color = [pixel[0], pixel[1], pixel[2]];
        }
    };
    for (place, four) in places.iter_mut().zip(fours).filter(|(_, four)| **four != WHITE) {
        copy(place, four);
    }
    copy(rest_of_places, rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alpha_channel_is_left_out() {
        let pixels: Vec<u8> = (0..7 * 4).map(|k| if k < 16 { 255 } else { k }).collect();
        let mut expected = vec![255; 12];
        expected.extend([16, 17, 18, 20, 21, 22, 24, 25, 26]);
        let mut colors = vec![255; 21];
        opaque(&pixels, &mut colors);
        assert_eq!(colors, expected);
    }
}
