//! Where the vocoder's instance norms take means and variances from: the signal in front of them, or all windows of a sentence.
//!
//! A window of a sentence has other statistics than the whole, and its sound another level and colour. So a sentence in
//! windows goes through the vocoder twice: first each norm's statistics are gathered over all windows, then every window is
//! normalised by what was gathered. What is left of the difference is that the first pass goes by each window's own.

use candle_core::{Device, Result, Tensor};

/// Statistics of every norm of a network, in the order in which a pass comes to them.
#[derive(Clone, Debug, Default)]
pub struct Norms {
    mode: Mode,
    seen: Vec<Vec<Moments>>,
    next: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Own,
    Gathering,
    Gathered,
}

/// Of one channel: how many values, their mean, the sum of squares around it.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Norms {
    /// Each signal's own statistics, which are kept nowhere.
    pub fn own() -> Self {
        Self::default()
    }

    /// Each signal's own statistics, gathered for [`gathered`](Self::gathered).
    pub fn gathering() -> Self {
        Self { mode: Mode::Gathering, ..Self::default() }
    }

    /// From here on what was gathered, for every signal.
    pub fn gathered(&mut self) {
        self.mode = Mode::Gathered;
    }

    /// Another pass begins, at the first norm.
    pub(super) fn begin(&mut self) {
        self.next = 0;
    }

    /// Mean and variance of each channel of a signal of `len` values, whose `own` are these.
    pub(super) fn of(&mut self, len: usize, own: impl FnOnce() -> Vec<(f32, f64)>) -> Vec<(f32, f64)> {
        let place = self.next;
        self.next += 1;
        match (self.mode, self.seen.get(place)) {
            (Mode::Gathered, Some(seen)) => {
                seen.iter().map(|all| (all.mean as f32, all.squares / all.count)).collect()
            }
            (Mode::Gathering, _) => {
                let own = own();
                if self.seen.len() <= place {
                    self.seen.resize(place + 1, vec![Moments::default(); own.len()]);
                }
                self.seen[place].iter_mut().zip(&own).for_each(|(all, own)| all.add(len, *own));
                own
            }
            (Mode::Own | Mode::Gathered, _) => own(),
        }
    }

    /// The same of a tensor [1, channels, len], as two tensors [1, channels, 1].
    pub(super) fn of_tensor(&mut self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let own = || -> Result<(Tensor, Tensor)> {
            let mean = x.mean_keepdim(2)?;
            let variance = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim(2)?;
            Ok((mean, variance))
        };
        if self.mode == Mode::Own {
            return own();
        }
        let own = if self.mode == Mode::Gathering { Some(own()?) } else { None };
        let values = match &own {
            None => Vec::new(),
            Some((mean, variance)) => {
                let flat = |tensor: &Tensor| tensor.flatten_all()?.to_device(&Device::Cpu)?.to_vec1::<f32>();
                flat(mean)?.into_iter().zip(flat(variance)?).map(|(mean, of)| (mean, f64::from(of))).collect()
            }
        };
        let (_, channels, len) = x.dims3()?;
        let all = self.of(len, || values);
        if let Some(own) = own {
            return Ok(own);
        }
        let (mean, variance): (Vec<f32>, Vec<f32>) =
            all.into_iter().map(|(mean, of)| (mean, of as f32)).unzip();
        let tensor = |values: Vec<f32>| {
            Tensor::from_vec(values, (1, channels, 1), &Device::Cpu)?.to_device(x.device())
        };
        Ok((tensor(mean)?, tensor(variance)?))
    }
}

impl Moments {
    /// Those of both signals together (Chan et al. 1979).
    fn add(&mut self, len: usize, (mean, variance): (f32, f64)) {
        let (len, away) = (len as f64, f64::from(mean) - self.mean);
        let count = self.count + len;
        self.squares += variance * len + away * away * self.count * len / count;
        self.mean += away * len / count;
        self.count = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_of_parts_is_what_the_whole_has() {
        let whole = [3.0f32, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0];
        let moments = |part: &[f32]| {
            let mean = part.iter().sum::<f32>() / part.len() as f32;
            let variance = part.iter().map(|x| f64::from(x - mean).powi(2)).sum::<f64>() / part.len() as f64;
            vec![(mean, variance)]
        };
        let mut norms = Norms::gathering();
        for part in [&whole[..3], &whole[3..4], &whole[4..]] {
            norms.begin();
            assert_eq!(norms.of(part.len(), || moments(part)), moments(part));
        }
        norms.gathered();
        norms.begin();
        let all = norms.of(1, || unreachable!("it has them"));
        let expected = moments(&whole);
        assert!(
            (all[0].0 - expected[0].0).abs() < 1e-6 && (all[0].1 - expected[0].1).abs() < 1e-6,
            "{all:?}"
        );
    }

    #[test]
    fn tensors_and_rows_gather_the_same() {
        let x = Tensor::new(&[[[1.0f32, 2.0, 4.0], [0.0, 0.0, 6.0]]], &Device::Cpu).unwrap();
        let mut norms = Norms::gathering();
        let (mean, variance) = norms.of_tensor(&x).unwrap();
        norms.gathered();
        norms.begin();
        let all = norms.of(3, Vec::new);
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(all.iter().map(|(mean, _)| *mean).collect::<Vec<_>>(), flat(&mean));
        assert_eq!(all.iter().map(|(_, of)| *of as f32).collect::<Vec<_>>(), flat(&variance));
        norms.begin();
        let again = norms.of_tensor(&(x * 3.0).unwrap()).unwrap();
        assert_eq!((flat(&again.0), flat(&again.1)), (flat(&mean), flat(&variance)), "not its own");
    }
}
