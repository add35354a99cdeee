//! Pictures between tensors and u8: the portrait on its way in, rendered frames on their way out.
//!
//! Owns resampling. A frame is resampled once, from the network's picture straight to the finished one: blend, camera and
//! final size are one bilinear lookup, on the host: frames leave the device in f32, so that what is blended has not been
//! rounded. Never a tensor operation of its own beyond copying.

use candle_core::{DType, Device, Result, Tensor};

use crate::models::device::Download;
use crate::models::kernels::buffers::{Taken, taken};
use crate::models::kernels::with_values;
use crate::types::{CameraView, Resolution, RgbImage};

/// A rendered frame: RGB in 0 … 255, three numbers a pixel, rows from the top.
#[derive(Debug)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    data: Taken,
}

/// Which two pixels a coordinate lies between, and how far on the way to the second.
type Steps = Vec<(usize, usize, f32)>;

impl Canvas {
    /// The frames of `[batch, 3, height, width]`, in 0 … 1. One copy from the device for all.
    pub(super) fn of(frames: &Tensor, download: &mut Download) -> Result<Vec<Self>> {
        let (_, colours, height, width) = frames.dims4()?;
        let bytes = (frames.to_dtype(DType::F32)?.permute((0, 2, 3, 1))?.contiguous()? * 255.0)?;
        download.read(&bytes, |data| {
            let frames = data.chunks(colours * height * width);
            let kept = |values: &[f32]| {
                let mut data = taken(values.len());
                data.copy_from_slice(values);
                data
            };
            frames.map(|data| Self { width, height, data: kept(data) }).collect()
        })
    }

    /// The frame `[1, 3, height, width]` of f32 in 0 … 1, in host memory.
    pub(super) fn on_host(frame: &Tensor) -> Result<Self> {
        let (_, colours, height, width) = frame.dims4()?;
        with_values(frame, |frame| {
            let mut data = taken(frame.len());
            for (colour, values) in frame.chunks((height * width).max(1)).enumerate() {
                let out = data[colour..].iter_mut().step_by(colours);
                out.zip(values).for_each(|(out, value)| *out = value * 255.0);
            }
            Ok(Self { width, height, data })
        })
    }

    /// Whether every pixel is a number.
    pub(super) fn is_finite(&self) -> bool {
        self.data.iter().all(|value| value.is_finite())
    }

    /// `1 − weight` of this and `weight` of `other`.
    pub(super) fn blend(&self, other: &Self, weight: f32) -> Self {
        let mut data = self.data.another();
        let pairs = self.data.iter().zip(&*other.data);
        data.iter_mut().zip(pairs).for_each(|(out, (a, b))| *out = a + weight * (b - a));
        Self { data, width: self.width, height: self.height }
    }

    /// What `camera` sees, as u8 pixels of `size`; cut off like the published wrapper's, not rounded. On the calling thread
    /// alone: the others render.
    pub(super) fn view(&self, camera: &CameraView, size: Resolution, out: &mut [u8]) {
        let (width, height) = (size.width.get() as usize, size.height.get() as usize);
        if *camera == CameraView::WHOLE && (width, height) == (self.width, self.height) {
            out.iter_mut().zip(&*self.data).for_each(|(out, value)| *out = *value as u8);
            return;
        }
        let columns = steps(width, self.width, camera.zoom, camera.pan_x);
        let rows = steps(height, self.height, camera.zoom, camera.pan_y);
        for (out, (upper, lower, down)) in out.chunks_mut(3 * width).zip(rows) {
            let line = |row: usize| &self.data[3 * row * self.width..][..3 * self.width];
            let (upper, lower) = (line(upper), line(lower));
            for (out, (left, right, along)) in out.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
                for (colour, out) in out.iter_mut().enumerate() {
                    let mix = |row: &[f32]| {
                        let (a, b) = (row[3 * left + colour], row[3 * right + colour]);
                        a + along * (b - a)
                    };
                    let (a, b) = (mix(upper), mix(lower));
                    *out = (a + down * (b - a)) as u8;
                }
            }
        }
    }
}

/// Where `count` pixels of a view lie among `available`; beyond the edge the edge goes on.
fn steps(count: usize, available: usize, zoom: f32, pan: f32) -> Steps {
    let last = available as f64 - 1.0;
    (0..count)
        .map(|place| {
            let share = (place as f64 + 0.5) / count as f64 - 0.5;
            let at = (share / f64::from(zoom) + 0.5 + f64::from(pan)) * available as f64 - 0.5;
            let at = at.clamp(0.0, last);
            let low = at.floor();
            (low as usize, (low + 1.0).min(last) as usize, (at - low) as f32)
        })
        .collect()
}

/// The middle of `image` with the proportions of `[height, width]`, at that size, as `[1, 3, height, width]` in 0 … 1.
///
/// Tells whether anything was cut away. Shrinking averages over all pixels that a new one covers, growing interpolates.
pub(super) fn portrait(
    image: &RgbImage,
    [height, width]: [usize; 2],
    device: &Device,
) -> Result<(Tensor, bool)> {
    let (full_width, full_height) = (image.width() as usize, image.height() as usize);
    // Whole pixels: a cut of less than one is none.
    let wide = (full_height * width / height).clamp(1, full_width);
    let high = (full_width * height / width).clamp(1, full_height);
    let (left, top) = ((full_width - wide) / 2, (full_height - high) / 2);
    let (columns, rows) = (weights(width, wide), weights(height, high));
    let pixel = |row: usize, column: usize, colour: usize| {
        f32::from(image.data()[3 * ((top + row) * full_width + left + column) + colour])
    };
    let mut data = vec![0.0; 3 * height * width];
    for (y, (first_row, row_weights)) in rows.iter().enumerate() {
        for (x, (first_column, column_weights)) in columns.iter().enumerate() {
            for colour in 0..3 {
                let mut sum = 0.0;
                for (row, down) in row_weights.iter().enumerate() {
                    for (column, along) in column_weights.iter().enumerate() {
                        sum += down * along * pixel(first_row + row, first_column + column, colour);
                    }
                }
                data[(colour * height + y) * width + x] = sum / 255.0;
            }
        }
    }
    let tensor = Tensor::from_vec(data, (1, 3, height, width), device)?;
    Ok((tensor, (wide, high) != (full_width, full_height)))
}

/// Per new pixel the first old one that it takes of and the weights from there on: a triangle as wide as the scale.
fn weights(count: usize, available: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = available as f64 / count as f64;
    let reach = scale.max(1.0);
    (0..count)
        .map(|place| {
            let middle = (place as f64 + 0.5) * scale - 0.5;
            let first = (middle - reach).ceil().max(0.0) as usize;
            let last = ((middle + reach).floor() as usize).min(available - 1).max(first.min(available - 1));
            let first = first.min(last);
            let raw: Vec<f64> =
                (first..=last).map(|at| (1.0 - (at as f64 - middle).abs() / reach).max(0.0)).collect();
            let total: f64 = raw.iter().sum();
            let even = 1.0 / raw.len() as f64;
            let share = |weight: f64| if total > 0.0 { weight / total } else { even };
            (first, raw.into_iter().map(|weight| share(weight) as f32).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests;
