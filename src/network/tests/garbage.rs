//! What goes from a store, and what stays.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::server::TestServer;
use super::wanted;
use crate::network::gc::{Object, Objects, Sweep, is_garbage, sweep};
use crate::network::setup::prepare;
use crate::network::{Session, Stream};
use crate::types::{Bytes, Sha256, WorkId};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn only_old_objects_of_what_has_ended_without_naming_them_are_garbage() {
    for (has_ended, is_named, age, gone) in [
        (true, false, HOUR * 3, true),
        (true, false, HOUR, false),
        (true, true, HOUR * 3, false),
        (false, false, HOUR * 3, false),
    ] {
        assert_eq!(is_garbage(has_ended, is_named, age, HOUR * 2), gone);
    }
}

/// Objects by what they hold, with their times.
struct Shelf(Mutex<BTreeMap<(WorkId, &'static str), Duration>>);

impl Objects for Shelf {
    type Handle = (WorkId, &'static str);
    type Error = String;

    fn list(&self) -> impl futures_util::Stream<Item = Result<Object<Self::Handle>, String>> + Send + Unpin {
        let all: Vec<_> = self.0.lock().iter().map(|(handle, written)| (*handle, *written)).collect();
        futures_util::stream::iter(all.into_iter().map(|(handle, written)| {
            let sha256 = (handle.1 != "stage").then(|| Sha256::of(handle.1.as_bytes()));
            Ok(Object { work: handle.0, sha256, bytes: Bytes::new(100), written, handle })
        }))
    }

    async fn remove(&self, handle: &Self::Handle) -> Result<(), String> {
        if handle.1 == "stuck" {
            return Err("stuck".to_owned());
        }
        self.0.lock().remove(handle);
        Ok(())
    }
}

async fn end(session: &Session, work: WorkId, record: serde_json::Value) {
    let subject = session.subjects().of(Stream::Results, work);
    let payload = record.to_string().into();
    session.create("end", &subject, Default::default(), payload, Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_sweep_takes_what_results_do_not_name_and_nothing_of_what_is_under_way() {
    let Some(server) = TestServer::start().await else { return };
    let session = server.session().await;
    prepare(&session, &wanted()).await.unwrap();
    let work =
        |epoch: u32| format!("6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90/{epoch}/1").parse::<WorkId>().unwrap();
    let (done, open, garbled, dead) = (work(1), work(2), work(3), work(4));
    let of = |text: &str| Sha256::of(text.as_bytes());
    end(&session, done, json!({"work": done, "artifacts": [{"sha256": of("video")}], "more": 1})).await;
    end(&session, garbled, json!({"work": done, "artifacts": []})).await;
    end(&session, dead, json!({"work": dead, "artifacts": []})).await;
    let (old, young) = (HOUR, HOUR * 9);
    let shelf = Shelf(Mutex::new(BTreeMap::from([
        ((done, "video"), old),
        ((done, "loser"), old),
        ((done, "fresh"), young),
        ((done, "stage"), old),
        ((open, "video"), old),
        ((garbled, "video"), old),
        ((dead, "video"), old),
        ((dead, "stuck"), old),
    ])));
    let dry = Sweep { retention: HOUR * 2, now: HOUR * 10, dry_run: true };
    let said = sweep(&session, &shelf, dry).await.unwrap();
    assert_eq!((said.named, said.open, said.young, said.unreadable), (1, 1, 1, 1), "{said:?}");
    assert_eq!((said.removed, said.bytes, shelf.0.lock().len()), (4, Bytes::new(400), 8), "{said:?}");
    let done_it = sweep(&session, &shelf, Sweep { dry_run: false, ..dry }).await.unwrap();
    assert_eq!(
        (done_it.removed, done_it.bytes, done_it.failed.len()),
        (3, Bytes::new(300), 1),
        "{done_it:?}"
    );
    let left: Vec<_> = shelf.0.lock().keys().copied().collect();
    assert_eq!(
        left,
        [(done, "fresh"), (done, "video"), (open, "video"), (garbled, "video"), (dead, "stuck")]
    );
}
