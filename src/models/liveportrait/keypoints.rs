//! Pose and key points: how a head's angles, expression, scale and shift move its canonical key points.
//!
//! x = s · (x_c · R + δ) + t without t_z, R = (R_z · R_y · R_x)ᵀ (Guo et al. 2024, eq. 2; the published wrapper). Pure
//! arithmetic on a few dozen numbers, in f64 until the end; never a tensor.

use candle_core::{Result, bail};

/// Points in space, (x, y, z) each.
pub type KeyPoints = Vec<[f32; 3]>;

/// What M tells of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    /// Pitch, yaw and roll in degrees.
    pub angles: [f32; 3],
    /// Shift; its last part is not used.
    pub shift: [f32; 3],
    /// Size.
    pub scale: f32,
    /// The head at rest, seen from the front.
    pub canonical: KeyPoints,
    /// What the expression adds to it, turned head included.
    pub expression: KeyPoints,
}

impl Motion {
    /// From the outputs of M's heads for one picture.
    pub(super) fn from_heads(
        kp: &[f32],
        scale: &[f32],
        angles: [&[f32]; 3],
        t: &[f32],
        exp: &[f32],
    ) -> Result<Self> {
        let ([scale], [x, y, z]) = (scale, t) else { bail!("a motion has one scale and three shifts") };
        let points = |values: &[f32]| values.as_chunks::<3>().0.to_vec();
        Ok(Self {
            angles: angles.map(degrees),
            shift: [*x, *y, *z],
            scale: *scale,
            canonical: points(kp),
            expression: points(exp),
        })
    }

    /// Where the key points are.
    pub fn key_points(&self) -> KeyPoints {
        let turned = rotation(self.angles);
        let points = self.canonical.iter().zip(&self.expression);
        points.map(|(point, delta)| place(*point, &turned, *delta, self.scale, self.shift)).collect()
    }
}

/// The angle that a distribution over bins means: Σ softmax(x)ᵢ · 3i − 97.5. A single value is an angle already.
pub fn degrees(bins: &[f32]) -> f32 {
    if let [angle] = bins {
        return *angle;
    }
    let top = bins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = bins.iter().map(|bin| f64::from(bin - top).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mean = weights.iter().enumerate().map(|(place, weight)| place as f64 * weight).sum::<f64>() / total;
    (mean * 3.0 - 97.5) as f32
}

/// (R_z · R_y · R_x)ᵀ of pitch, yaw and roll in degrees; rows of points are multiplied from the left.
pub fn rotation([pitch, yaw, roll]: [f32; 3]) -> [[f64; 3]; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)] =
        [pitch, yaw, roll].map(|angle| f64::from(angle).to_radians().sin_cos());
    [
        [cz * cy, sz * cy, -sy],
        [cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx],
        [cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx],
    ]
}

/// s · (point · R + δ) + t, without t_z.
pub(super) fn place(
    point: [f32; 3],
    rotation: &[[f64; 3]; 3],
    delta: [f32; 3],
    scale: f32,
    shift: [f32; 3],
) -> [f32; 3] {
    std::array::from_fn(|axis| {
        let turned: f64 = point.iter().zip(rotation).map(|(value, row)| f64::from(*value) * row[axis]).sum();
        let shift = if axis == 2 { 0.0 } else { f64::from(shift[axis]) };
        (f64::from(scale) * (turned + f64::from(delta[axis])) + shift) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_mean_the_middle_of_their_range_when_they_know_nothing() {
        assert!(degrees(&[1.0; 66]).abs() < 1e-4);
        let mut sure = [0.0; 66];
        sure[40] = 100.0;
        assert!((degrees(&sure) - 22.5).abs() < 1e-4);
        assert_eq!(degrees(&[12.5]), 12.5);
    }

    #[test]
    fn turning_left_and_nodding_go_the_published_way() {
        // Of a point in front of the face (0, 0, 1): yaw moves it along x, pitch along y.
        let turn = |angles| place([0.0, 0.0, 1.0], &rotation(angles), [0.0; 3], 1.0, [0.0; 3]);
        let [x, y, z] = turn([0.0, 30.0, 0.0]);
        assert!((x - 0.5).abs() < 1e-6 && y.abs() < 1e-6 && (z - 0.866_025_4).abs() < 1e-6, "{x} {y} {z}");
        let [x, y, z] = turn([30.0, 0.0, 0.0]);
        assert!(x.abs() < 1e-6 && (y + 0.5).abs() < 1e-6 && (z - 0.866_025_4).abs() < 1e-6, "{x} {y} {z}");
    }

    #[test]
    fn depth_is_scaled_but_never_shifted() {
        let point = place([1.0, 2.0, 3.0], &rotation([0.0; 3]), [0.5, 0.5, 0.5], 2.0, [0.1, 0.2, 0.3]);
        for (ours, exact) in point.iter().zip([3.1, 5.2, 7.0]) {
            assert!((ours - exact).abs() < 1e-6);
        }
    }
}
