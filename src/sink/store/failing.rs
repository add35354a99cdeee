//! For tests: a store that can be switched off, that counts what it is asked, and that lets a test come in between.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;
type Between = Box<dyn FnOnce() + Send>;

/// What is shared with uploads under way.
#[derive(Default)]
struct Switches {
    /// Whether everything fails, and from which part on parts do.
    down: bool,
    parts_left: Option<usize>,
    /// Requests by kind and key, in order.
    log: Vec<(&'static str, String)>,
    /// Runs after the next look at a key.
    after_head: Option<Between>,
    aborted: usize,
}

/// A store in memory that fails on demand.
#[derive(Clone, Default)]
pub(super) struct Failing {
    pub(super) memory: Arc<InMemory>,
    switches: Arc<Mutex<Switches>>,
}

impl Failing {
    pub(super) fn switch(&self, down: bool) {
        self.switches.lock().down = down;
    }

    /// Only so many more parts are taken.
    pub(super) fn parts_left(&self, parts: Option<usize>) {
        self.switches.lock().parts_left = parts;
    }

    pub(super) fn after_head(&self, between: impl FnOnce() + Send + 'static) {
        self.switches.lock().after_head = Some(Box::new(between));
    }

    pub(super) fn aborted(&self) -> usize {
        self.switches.lock().aborted
    }

    /// Requests so far, by kind and key.
    pub(super) fn log(&self) -> Vec<(&'static str, String)> {
        self.switches.lock().log.clone()
    }

    /// How many requests of a kind there were.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.switches.lock().log.iter().filter(|(it, _)| *it == kind).count()
    }

    fn ask(&self, kind: &'static str, key: &Path) -> Result<()> {
        let mut switches = self.switches.lock();
        switches.log.push((kind, key.to_string()));
        if switches.down { Err(down()) } else { Ok(()) }
    }
}

fn down() -> Error {
    Error::Generic { store: "test", source: "connection refused".into() }
}

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

// The trait is made by a macro that this crate does not use: its lifetimes are written out.
impl ObjectStore for Failing {
    fn put_opts<'s, 'p, 'a>(
        &'s self,
        key: &'p Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Later<'a, PutResult>
    where
        's: 'a,
        'p: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            self.ask("put", key)?;
            self.memory.put_opts(key, payload, options).await
        })
    }

    fn put_multipart_opts<'s, 'p, 'a>(
        &'s self,
        key: &'p Path,
        options: PutMultipartOptions,
    ) -> Later<'a, Box<dyn MultipartUpload>>
    where
        's: 'a,
        'p: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            self.ask("begin", key)?;
            let upload = self.memory.put_multipart_opts(key, options).await?;
            Ok(Box::new(FailingUpload { upload, of: self.clone(), key: key.clone() })
                as Box<dyn MultipartUpload>)
        })
    }

    fn get_opts<'s, 'p, 'a>(&'s self, key: &'p Path, options: GetOptions) -> Later<'a, GetResult>
    where
        's: 'a,
        'p: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let head = options.head;
            self.ask(if head { "head" } else { "get" }, key)?;
            let got = self.memory.get_opts(key, options).await;
            let between = if head { self.switches.lock().after_head.take() } else { None };
            if let Some(between) = between {
                between();
            }
            got
        })
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.switches.lock().down {
            return stream::once(async { Err(down()) }).boxed();
        }
        self.memory.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.switches.lock().down {
            return stream::once(async { Err(down()) }).boxed();
        }
        self.memory.list(prefix)
    }

    fn list_with_delimiter<'s, 'p, 'a>(&'s self, prefix: Option<&'p Path>) -> Later<'a, ListResult>
    where
        's: 'a,
        'p: 'a,
        Self: 'a,
    {
        self.memory.list_with_delimiter(prefix)
    }

    fn copy_opts<'s, 'p, 'q, 'a>(
        &'s self,
        from: &'p Path,
        to: &'q Path,
        options: CopyOptions,
    ) -> Later<'a, ()>
    where
        's: 'a,
        'p: 'a,
        'q: 'a,
        Self: 'a,
    {
        self.memory.copy_opts(from, to, options)
    }
}

struct FailingUpload {
    upload: Box<dyn MultipartUpload>,
    of: Failing,
    key: Path,
}

impl fmt::Debug for FailingUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailingUpload")
    }
}

impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut taken = self.of.ask("part", &self.key);
        if let Some(left) = &mut self.of.switches.lock().parts_left {
            if *left == 0 {
                taken = Err(down());
            }
            *left = left.saturating_sub(1);
        }
        let part = self.upload.put_part(data);
        Box::pin(async move {
            taken?;
            part.await
        })
    }

    fn complete<'s, 'a>(&'s mut self) -> Later<'a, PutResult>
    where
        's: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            self.of.ask("complete", &self.key)?;
            self.upload.complete().await
        })
    }

    fn abort<'s, 'a>(&'s mut self) -> Later<'a, ()>
    where
        's: 'a,
        Self: 'a,
    {
        self.of.switches.lock().aborted += 1;
        self.upload.abort()
    }
}
