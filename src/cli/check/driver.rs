//! What the driver says of its boards: which can be used, which cannot and why, and what would help each of them.

use super::finding::Finding;
use crate::types::DeviceId;
use crate::vram::{Board, BoardTrouble, Boards, ProbeError, ProbeErrorKind, TroubledBoard};

/// The finding of a device that could be opened.
pub(super) fn opened_as(check: String, device: DeviceId, boards: &Result<Boards, ProbeError>) -> Finding {
    let build = if cfg!(feature = "cuda") { "a build with cuda" } else { "a build without cuda" };
    let idle = boards.as_ref().ok().and_then(usable_name);
    match (device, idle) {
        (DeviceId::Cpu, Some(name)) => Finding::doubtful(
            check,
            format!("cpu, {build}, though this machine has a card ({name})"),
            if cfg!(feature = "cuda") {
                "choose a profile for the card (--profile), or --device cuda:0"
            } else {
                "build with `--features cuda` (deploy/cuda) and choose a profile for the card"
            },
        ),
        _ => Finding::ok(check, format!("{device}, {build}")),
    }
}

/// The name of the first board that models could be loaded onto.
fn usable_name(boards: &Boards) -> Option<&str> {
    let troubled = || boards.troubled.iter().find(|board| board.trouble.is_usable());
    let first = boards.boards.first().map(|board| board.name.as_str());
    first.or_else(|| troubled().map(|board| board.name.as_deref().unwrap_or("of unknown name")))
}

/// The finding of the driver and all its boards, where models are to run on `devices`.
pub(super) fn driver(devices: &[DeviceId], boards: &Result<Boards, ProbeError>) -> Finding {
    let ordinals = devices.iter().filter_map(|device| match device {
        DeviceId::Cuda(ordinal) => Some(*ordinal as usize),
        DeviceId::Cpu | DeviceId::Scripted(_) => None,
    });
    // The highest: where there is that one, the others are there too.
    match (boards, ordinals.max()) {
        (Ok(boards), wanted) => of_boards(boards, wanted),
        (Err(error), wanted) => without_boards(error, wanted.is_some()),
    }
}

/// No board could be asked for.
fn without_boards(error: &ProbeError, is_wanted: bool) -> Finding {
    const INSTALL: &str = "install NVIDIA's driver, or, in a container, hand the cards in (`--gpus all`)";
    const MEND: &str = "the driver is installed but does not work: `nvidia-smi` and `dmesg` tell more; restart the \
                        machine where its library and its kernel module are of different versions";
    match (error.kind, is_wanted) {
        (ProbeErrorKind::Missing, true) => Finding::wrong("driver", error.to_string(), INSTALL),
        (ProbeErrorKind::Missing, false) => {
            Finding::ok("driver", format!("none, and the processor needs none ({error})"))
        }
        (_, true) => Finding::wrong("driver", error.to_string(), MEND),
        (_, false) => Finding::doubtful("driver", format!("{error}; the processor needs none"), MEND),
    }
}

/// `wanted` is the highest ordinal that models are to run on. CUDA counts the usable boards only.
fn of_boards(boards: &Boards, wanted: Option<usize>) -> Finding {
    let usable = boards.usable();
    let told = boards.boards.iter().map(told);
    let told: Vec<String> = told.chain(boards.troubled.iter().map(ToString::to_string)).collect();
    let told = if told.is_empty() { "no board".to_owned() } else { told.join("; ") };
    let found = format!("NVIDIA {}; {told}", boards.driver);
    let mut advice: Vec<String> =
        boards.troubled.iter().filter(|board| !board.trouble.is_usable()).map(advice).collect();
    match wanted {
        Some(wanted) if wanted >= usable => {
            let found = format!("{found}; {usable} card(s) can be used, none of them number {wanted}");
            match usable {
                0 if advice.is_empty() => advice.push("hand a card in, or set device to \"cpu\"".to_owned()),
                0 => {}
                1 => advice.push("name the one that can be used: cuda:0".to_owned()),
                _ => advice.push(format!("name one of the cards from cuda:0 to cuda:{}", usable - 1)),
            }
            Finding::wrong("driver", found, advice.join("; "))
        }
        _ if advice.is_empty() => Finding::ok("driver", found),
        _ => Finding::doubtful("driver", found, advice.join("; ")),
    }
}

fn told(board: &Board) -> String {
    let Board { index, name, free, total, fallbacks } = board;
    let mut told = format!("{index}: {name}, {free} free of {total}");
    for fallback in fallbacks {
        told.push_str(&format!(", without {fallback}"));
    }
    told
}

/// What would help `board`, and only it.
fn advice(board: &TroubledBoard) -> String {
    let index = board.index;
    let help = match board.trouble {
        BoardTrouble::Lost => {
            "look for Xid errors in `dmesg`, check its seat, power and cooling, and restart the machine"
                .to_owned()
        }
        BoardTrouble::NeedsReset => format!("`nvidia-smi --gpu-reset -i {index}`, or restart the machine"),
        BoardTrouble::NoPower => "attach its power cables".to_owned(),
        BoardTrouble::NoPermission => {
            format!("let this user open /dev/nvidia{index}, or, in a container, hand this card in")
        }
        BoardTrouble::NoInstance => format!("make an instance (`nvidia-smi mig -i {index} -cgi 0 -C`)"),
        BoardTrouble::NotSupported => "nothing, CUDA tells its memory".to_owned(),
        BoardTrouble::Unknown => "`nvidia-smi` and `dmesg` tell more; restart the machine".to_owned(),
    };
    format!("board {index}: {help}")
}

#[cfg(test)]
mod tests;
