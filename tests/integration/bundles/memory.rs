//! A load that fails leaves nothing in memory: counted at the allocator, on the loading thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vortex_node::contract::Run;
use vortex_node::models::weights::{Options, Weights, load};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread holds.
struct Counting;

#[expect(unsafe_code, reason = "an allocator can only be written so; it adds a counter to the system's")]
// SAFETY: every call is handed on to the system's allocator unchanged; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: isize) {
    // A thread that is ending has no counter any more.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> isize {
    HELD.get()
}

#[test]
fn a_failed_load_leaves_no_part_of_the_model_in_memory() {
    const EACH: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let whole = Tensor::zeros(EACH / 4, DType::F32, &Device::Cpu).unwrap();
    let broken = Tensor::new(f32::NAN, &Device::Cpu).unwrap();
    let mut tensors: HashMap<String, Tensor> = (0..8).map(|i| (format!("w{i}"), whole.clone())).collect();
    tensors.insert("w8".into(), broken);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    drop(tensors);

    let before = held();
    let mut at_most = 0;
    {
        let weights = Arc::new(Weights::open([&path]).unwrap());
        let options = Options::new(DType::F32, &Device::Cpu);
        let built = load(&weights, &options, &Run::unobserved(), |vb| {
            let mut network = Vec::new();
            for i in 0..8 {
                network.push(vb.get(EACH / 4, &format!("w{i}"))?);
                at_most = at_most.max(held() - before);
            }
            network.push(vb.get((), "w8")?);
            Ok(network)
        });
        let error = built.unwrap_err().chain();
        assert!(error.contains("tensor \"w8\": value 0 of 1 is NaN"), "{error}");
        assert!(held() - before < (EACH / 4) as isize, "{} bytes are still held", held() - before);
    }
    assert!(at_most >= 8 * EACH as isize, "the count sees no tensors: {at_most}");
    // The mapping is gone with the weights.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    assert!(!maps.contains(path.to_str().unwrap()), "the file is still mapped");
}
