//! Which probes look at a device, best first.

use std::path::PathBuf;

use crate::cuda::Card;
use crate::types::DeviceId;

use super::{CudaProbe, HostProbe, HostProbeSetup, NvmlProbe, NvmlSelector, Probe, WithPool};

/// The probes of `device`: on a card NVML (which tells this process from others) with the pool's figures, then the
/// driver; on the processor the host's. `nvml` is another library than the loader's own.
///
/// A card is opened for it; where that fails, NVML alone looks at the board of that number, which says as much as can
/// be known. A scripted device has its scenario's probe, not these.
pub fn probes_of(device: DeviceId, nvml: Option<PathBuf>) -> Vec<Box<dyn Probe>> {
    match device {
        DeviceId::Cuda(ordinal) => match Card::open(ordinal) {
            Ok(card) => {
                // CUDA counts the visible cards, NVML all boards in another order: only the identifier fits both.
                let board = card.uuid().map_or(NvmlSelector::Index(ordinal), NvmlSelector::Uuid);
                let first = WithPool::new(NvmlProbe::new(board, nvml), card.clone());
                vec![Box::new(first), Box::new(CudaProbe::new(card))]
            }
            Err(_) => vec![Box::new(NvmlProbe::new(NvmlSelector::Index(ordinal), nvml))],
        },
        DeviceId::Cpu => vec![Box::new(HostProbe::new(HostProbeSetup::default()))],
        DeviceId::Scripted(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_its_probes() {
        let names = |device| probes_of(device, None).iter().map(|probe| probe.name()).collect::<Vec<_>>();
        assert_eq!(names(DeviceId::Cpu), ["host"]);
        // With a card the driver comes second.
        assert_eq!(names(DeviceId::Cuda(0))[0], "nvml");
        assert!(names(DeviceId::Scripted(0)).is_empty());
    }
}
