//! PNG files: 8-bit RGB, without times or texts, so that the same picture makes the same bytes.

use std::io::{self, Cursor};

use crate::types::{Resolution, RgbImage};

/// Why bytes are no picture of ours.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// No PNG file, or a damaged one.
    #[error("not a PNG file that can be read: {0}")]
    Unreadable(#[from] ::png::DecodingError),
    /// Grey, transparent, with a palette, or of another depth.
    #[error("a PNG file of {depth} bits and {colour} colours; 8-bit RGB is accepted")]
    OtherKind {
        /// Bits per channel.
        depth: u8,
        /// What a pixel is.
        colour: String,
    },
    /// Pixels that do not fill the picture.
    #[error("a PNG file of no size that a picture has")]
    NoSize,
}

/// The file's bytes.
pub fn encode(image: &RgbImage) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, image.width(), image.height());
    encoder.set_color(::png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.data())?;
    writer.finish()?;
    Ok(file)
}

/// The picture in a file's bytes.
pub fn decode(file: &[u8]) -> Result<RgbImage, PngError> {
    let mut reader = ::png::Decoder::new(Cursor::new(file)).read_info()?;
    let (colour, depth) = reader.output_color_type();
    if (colour, depth) != (::png::ColorType::Rgb, ::png::BitDepth::Eight) {
        return Err(PngError::OtherKind { depth: depth as u8, colour: format!("{colour:?}") });
    }
    let (width, height) = reader.info().size();
    let resolution = Resolution::new(width, height).ok_or(PngError::NoSize)?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or(PngError::NoSize)?];
    reader.next_frame(&mut pixels)?;
    // What stands after the pixels is checked as well.
    reader.finish()?;
    RgbImage::new(resolution, pixels).map_err(|_| PngError::NoSize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(width: u32, height: u32, seed: u8) -> RgbImage {
        let size = Resolution::new(width, height).unwrap();
        let data = (0..size.rgb_bytes().get()).map(|place| (place as u8).wrapping_mul(seed)).collect();
        RgbImage::new(size, data).unwrap()
    }

    proptest! {
        #[test]
        fn pictures_read_back_and_the_same_picture_is_the_same_file(width in 1u32..40, height in 1u32..40, seed: u8) {
            let image = image(width, height, seed);
            let file = encode(&image).unwrap();
            prop_assert_eq!(&file, &encode(&image).unwrap());
            prop_assert_eq!(decode(&file).unwrap(), image);
        }

        #[test]
        fn a_damaged_file_is_refused_or_the_same_picture(place in 0usize..200, bit in 0u8..8) {
            let image = image(9, 7, 37);
            let mut file = encode(&image).unwrap();
            let place = place % file.len();
            file[place] ^= 1 << bit;
            if let Ok(read) = decode(&file) {
                prop_assert_eq!(read, image);
            }
        }
    }

    #[test]
    fn a_file_holds_no_time_and_no_text() {
        let file = encode(&image(3, 3, 5)).unwrap();
        let names: Vec<&[u8]> =
            file.windows(4).filter(|name| name.iter().all(u8::is_ascii_alphabetic)).collect();
        for name in [b"tIME", b"tEXt", b"iTXt", b"zTXt", b"eXIf"] {
            assert!(!names.contains(&&name[..]));
        }
    }

    #[test]
    fn pictures_of_other_kinds_are_refused_by_kind() {
        let mut file = Vec::new();
        let mut writer = ::png::Encoder::new(&mut file, 2, 2).write_header().unwrap();
        writer.write_image_data(&[0; 4]).unwrap();
        writer.finish().unwrap();
        assert!(decode(&file).unwrap_err().to_string().contains("Grayscale"));
        assert!(decode(b"GIF89a").is_err());
    }
}
