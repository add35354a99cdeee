//! Several nodes render one recipe: each replica by another node, and their results agree.

use std::path::Path;
use std::time::Duration;

use vortex_node::network::results::EndState;
use vortex_node::network::{Recipient, Stream, registry};

use super::net::Net;
use crate::support::served::{Place, recipe};

/// Nodes and replicas.
const COUNT: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_render_five_replicas_alike_and_a_forged_result_is_refused() {
    // Models that compute take longer than scripted ones, on two cores for five.
    let variables = [("VORTEX_NETWORK__ACK_WAIT", "30s"), ("VORTEX_STAGES__VIDEO__TIMEOUT", "200s")];
    let Some(mut net) = Net::of(COUNT, Place::demo, &variables) else { return };
    net.nodes.start().await;
    let session = net.session().await;
    let mut nodes = registry::nodes(&session).await.unwrap();
    for _ in 0..100 {
        if nodes.len() == COUNT && nodes.iter().all(|node| node.ready) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        nodes = registry::nodes(&session).await.unwrap();
    }
    assert_eq!(nodes.len(), COUNT, "{nodes:?}");
    let mut recipe = recipe(1);
    recipe["audio_track"]["script"] = "Hello.".into();
    // A second of few frames: what is compared is the same.
    recipe["slot_params"]["duration_sec"] = 1.into();
    recipe["slot_params"]["fps"] = 6.into();
    recipe["slot_params"]["resolution"] = "256x256".into();
    let mut works = Vec::new();
    for (node, replica) in nodes.iter().zip(1..) {
        let to = Recipient::Node(node.node.clone());
        works.push(net.hand_in_to(&session, &recipe, to, replica).await);
    }
    let results = net.results(&works, Duration::from_secs(300)).await;
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for ((work, result), node) in results.iter().zip(&nodes) {
        assert_eq!((result.state, &result.node), (EndState::Completed, &node.node), "{work}: {result:?}");
        let path = folder.path().join(format!("{}.json", work.replica));
        std::fs::write(&path, result.result.as_ref().unwrap()).unwrap();
        files.push(path);
    }
    let agreed = agree(&files);
    assert_eq!((&agreed["ok"], &agreed["in_group"]), (&true.into(), &COUNT.into()), "{agreed}");
    assert_eq!(agreed["identical"], COUNT, "{agreed}");
    // One byte of one result, and of no other: its node's signature holds for something else.
    let forged = std::fs::read_to_string(&files[0])
        .unwrap()
        .replace("\"deadline_met\": true", "\"deadline_met\":  true");
    std::fs::write(&files[0], forged).unwrap();
    let agreed = agree(&files);
    assert_eq!(agreed["in_group"], COUNT - 1, "{agreed}");
    assert_eq!(agreed["refused"].as_array().unwrap().len(), 1, "{agreed}");
    net.is_done(Duration::from_secs(60)).await;
    assert_eq!(net.count(Stream::Letters).await, 0);
}

fn agree(files: &[impl AsRef<Path>]) -> serde_json::Value {
    let mut command = crate::support::lone_binary();
    command.arg("agree").arg("--json").args(files.iter().map(AsRef::as_ref));
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
