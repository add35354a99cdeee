//! Simple linear regression by running sums about the running means (updated as in Welford 1962, so that gigabytes do not
//! cancel away differences of kilobytes). Pure; no allocation.

/// Sums over points so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    count: f64,
    mean_x: f64,
    mean_y: f64,
    sum_xx: f64,
    sum_xy: f64,
    sum_yy: f64,
}

impl Fit {
    /// Takes in a point.
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        let (dx, dy) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += dx / self.count;
        self.mean_y += dy / self.count;
        self.sum_xx += dx * (x - self.mean_x);
        self.sum_xy += dx * (y - self.mean_y);
        self.sum_yy += dy * (y - self.mean_y);
    }

    /// Slope and its standard error, of two points at different x or more; two points fit any slope, so its error is
    /// infinite.
    pub(super) fn slope(&self) -> (f64, f64) {
        let slope = self.sum_xy / self.sum_xx;
        if self.count < 3.0 {
            return (slope, f64::INFINITY);
        }
        let residual = (self.sum_yy - slope * self.sum_xy).max(0.0);
        (slope, (residual / (self.count - 2.0) / self.sum_xx).sqrt())
    }
}
