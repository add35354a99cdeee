//! Latent pictures: their noise, and how 2×2 positions of them become tokens and back.

use candle_core::{Device, Result, Tensor};

use crate::models::noise::Noise;

/// Noise of `channels` × `height` × `width`, [1, channels, height, width] in f32: the same bits on every device, since
/// it is made on the processor and carried over.
pub(crate) fn noise(
    seed: u64,
    (channels, height, width): (usize, usize, usize),
    device: &Device,
) -> Result<Tensor> {
    let values = Noise::new(seed, 0).normals(channels * height * width);
    Tensor::from_vec(values, (1, channels, height, width), device)
}

/// A latent picture [1, channels, 2h, 2w] as tokens [h · w, 4 · channels], each channel's 2×2 positions together.
pub(crate) fn pack(latent: &Tensor) -> Result<Tensor> {
    let (_, channels, height, width) = latent.dims4()?;
    let (rows, columns) = (height / 2, width / 2);
    let split = latent.reshape((channels, rows, 2, columns, 2))?;
    split.permute((1, 3, 0, 2, 4))?.reshape((rows * columns, channels * 4))
}

/// The reverse, for a picture of `rows` × `columns` tokens.
pub(crate) fn unpack(tokens: &Tensor, rows: usize, columns: usize) -> Result<Tensor> {
    let channels = tokens.dim(1)? / 4;
    let split = tokens.reshape((rows, columns, channels, 2, 2))?;
    split.permute((2, 0, 3, 1, 4))?.reshape((1, channels, rows * 2, columns * 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_puts_each_channels_square_together_and_comes_undone() {
        let values: Vec<f32> = (0..2 * 4 * 6).map(|i| i as f32).collect();
        let latent = Tensor::from_vec(values, (1, 2, 4, 6), &Device::Cpu).unwrap();
        let tokens = pack(&latent).unwrap();
        let first: Vec<f32> = tokens.get(1).unwrap().to_vec1().unwrap();
        assert_eq!(first, [2.0, 3.0, 8.0, 9.0, 26.0, 27.0, 32.0, 33.0]);
        let back = unpack(&tokens, 2, 3).unwrap();
        assert_eq!(
            back.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            latent.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        );
    }

    #[test]
    fn noise_is_a_function_of_seed_and_size() {
        let take = |seed| {
            noise(seed, (16, 4, 4), &Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }
}
