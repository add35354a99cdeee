//! What comes over the network and is no work: a letter with the reason, and the node goes on.

use std::time::Duration;

use serde_json::{Value, json};
use vortex_node::network::letters::{self, LetterReason};
use vortex_node::network::results::EndState;
use vortex_node::network::{Handed, Recipient, Session, Stream, WorkSubject, hand_in};
use vortex_node::types::WorkId;

use super::net::{Net, artifacts_hold, class};
use crate::support::served::{recipe, scenario};

async fn sent(net: &Net, session: &Session, work: WorkId, text: &[u8], director: Option<&str>) -> WorkId {
    let subject =
        WorkSubject { to: Recipient::Any, class: class(), director: director.map(str::to_owned), work };
    let handed = hand_in(session, &subject, text, None, vortex_node::clock::unix_time()).await.unwrap();
    assert!(matches!(handed, Handed::New(_)), "{}", net.standing().await);
    work
}

fn work_of(recipe: &Value) -> WorkId {
    WorkId::first(recipe["recipe_id"].as_str().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_with_a_message_is_told_in_a_letter_and_the_next_one_is_rendered() {
    let Some(mut net) = Net::new(1, &scenario("10ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let other = work_of(&recipe(1));
    let mut expected =
        vec![(sent(&net, &session, other, b"{\"no\": \"recipe\"", None).await, LetterReason::Unreadable)];
    let wrong_slot = recipe(2);
    expected.push((
        sent(&net, &session, work_of(&recipe(3)), wrong_slot.to_string().as_bytes(), None).await,
        LetterReason::Invalid,
    ));
    let mut late = recipe(4);
    late["deadline"] = json!(1_000_000_000);
    expected.push((
        sent(&net, &session, work_of(&late), late.to_string().as_bytes(), None).await,
        LetterReason::Expired,
    ));
    let mut large = recipe(5);
    large["slot_params"]["resolution"] = json!("1024x1024");
    expected.push((
        sent(&net, &session, work_of(&large), large.to_string().as_bytes(), None).await,
        LetterReason::Invalid,
    ));
    let mut voice = recipe(6);
    voice["audio_track"]["voice_id"] = json!("nobody_speaks_so");
    expected.push((
        sent(&net, &session, work_of(&voice), voice.to_string().as_bytes(), None).await,
        LetterReason::Invalid,
    ));
    let claimed = recipe(7);
    expected.push((
        sent(&net, &session, work_of(&claimed), claimed.to_string().as_bytes(), Some("0123456789abcdef"))
            .await,
        LetterReason::Signature,
    ));
    let mut forged = recipe(8);
    forged["security"] = json!({
        "director_id": "ab".repeat(32), "ed25519_signature": "cd".repeat(64), "timestamp": 1_000_000_000,
    });
    expected.push((
        sent(&net, &session, work_of(&forged), forged.to_string().as_bytes(), Some("abababababababab")).await,
        LetterReason::Signature,
    ));
    let good = net.hand_in(&session, 100).await;
    let works: Vec<WorkId> = expected.iter().map(|(work, _)| *work).collect();
    let results = net.results(&works, Duration::from_secs(60)).await;
    for (work, reason) in expected {
        let letter = letters::read(&session, work).await.unwrap().unwrap_or_else(|| panic!("{work}")).record;
        println!("{work}: {}: {}", letter.reason, letter.detail);
        assert_eq!((letter.reason, letter.deliveries), (reason, 1), "{}", letter.detail);
        assert!(!letter.detail.is_empty() && letter.recipe().is_ok());
        assert_eq!(results[&work].state, EndState::Dead);
    }
    artifacts_hold(&net.results(&[good], Duration::from_secs(30)).await);
    net.is_done(Duration::from_secs(20)).await;
    net.stop(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_subject_names_no_work_is_put_aside_by_its_number() {
    let Some(mut net) = Net::new(1, &scenario("10ms", ""), &[]) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let client = async_nats::connect(net.nats.address()).await.unwrap();
    for wrong in ["open.x.1.1", "open.6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90.0.1", "open"] {
        let subject = format!("vortex.work.any.normal.p512.any.free.{wrong}");
        client.publish(subject, "{}".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    net.until(Stream::Letters, 3).await;
    net.is_done(Duration::from_secs(20)).await;
    let listed = letters::list(&session, 1, 10).await.unwrap();
    assert!(listed.found.iter().all(|letter| letter.record.reason == LetterReason::Unreadable));
    artifacts_hold(&{
        let good = net.hand_in(&session, 1).await;
        net.results(&[good], Duration::from_secs(30)).await
    });
    net.stop(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_recipes_are_refused_where_only_signed_ones_are_rendered() {
    let Some(mut net) = Net::new(1, &scenario("10ms", ""), &[("VORTEX_NETWORK__SIGNED_ONLY", "true")]) else {
        return;
    };
    net.nodes.start().await;
    let session = net.session().await;
    let work = net.hand_in(&session, 1).await;
    let results = net.results(&[work], Duration::from_secs(30)).await;
    assert_eq!(results[&work].state, EndState::Dead);
    let letter = letters::read(&session, work).await.unwrap().unwrap().record;
    assert_eq!(letter.reason, LetterReason::Unsigned);
    assert!(letter.detail.contains("network.signed_only"), "{}", letter.detail);
    net.stop(0);
}
