//! That nodes come and go one by one.

use std::ffi::OsStr;
use std::path::Path;

use reqwest::StatusCode;

use super::Nodes;
use crate::support::served::{Place, recipe, scenario};

#[tokio::test]
async fn each_node_is_killed_paused_and_stopped_by_itself() {
    let scenario = scenario("5ms", "");
    let mut nodes = Nodes::new((0..3).map(|_| Place::new(&scenario)));
    nodes.start().await;
    assert!((0..nodes.count()).all(|number| nodes.serves(number)));
    assert_ne!(nodes[0].url, nodes[1].url);
    assert_ne!(nodes.place(0).data(), nodes.place(1).data());
    nodes.kill(0);
    nodes[1].pause();
    // Neither is heard of any more, which is nothing to the third.
    assert!(!nodes.serves(0));
    let asked = nodes[1].ask(reqwest::Method::GET, "/livez").timeout(std::time::Duration::from_millis(200));
    assert!(asked.send().await.unwrap_err().is_timeout());
    assert_eq!(nodes[2].put(&recipe(1)).await.status(), StatusCode::ACCEPTED);
    assert_eq!(nodes[2].ended(recipe(1)["recipe_id"].as_str().unwrap()).await["state"], "completed");
    nodes[1].resume();
    nodes.start().await;
    for number in 0..nodes.count() {
        nodes[number].ready().await;
        let (code, logs) = nodes.stop(number);
        assert_eq!(code, Some(0), "{logs}");
    }
}

#[test]
fn nodes_of_a_network_are_told_their_server_and_the_store_that_they_share() {
    let place = Place::new(&scenario("5ms", "")).in_network("nats://127.0.0.1:4222", Path::new("/srv/store"));
    let command = place.command(&[]);
    let told = |name: &str| {
        let mut variables = command.get_envs();
        variables.find(|(known, _)| *known == OsStr::new(name)).and_then(|(_, value)| value?.to_str())
    };
    assert_eq!(told("VORTEX_NETWORK__SERVERS"), Some(r#"["nats://127.0.0.1:4222"]"#));
    assert_eq!(told("VORTEX_STORE__URL"), Some("file:///srv/store"));
}
