//! A figure as pixels.

use super::style::{FAMILY, FONT};

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ChartError {
    #[error("cannot rasterise the figure: {0}")]
    Raster(String),
}

/// The same picture as PNG, with twice as many pixels each way, from the text of a figure's SVG.
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

/// Without the alpha channel, for the picture is opaque, and with the fast compressor: the best took half of a picture's time.
fn encoded(pixels: &resvg::tiny_skia::Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let colours: Vec<u8> = pixels.data().as_chunks::<4>().0.iter().flat_map(|p| [p[0], p[1], p[2]]).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&colours)?;
    Ok(bytes)
}
