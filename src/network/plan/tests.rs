use super::*;
use crate::network::registry::{BundleEntry, ENTRY_VERSION};

const NOW: Duration = Duration::from_secs(1_000_000);

fn node(digit: char, bundle: &str, open: u32) -> NodeEntry {
    let sha256 = Sha256::of(bundle.as_bytes());
    let largest = Resolution::new(512, 512).unwrap();
    let classes = Class::able(largest, sha256, Duration::from_secs(30));
    NodeEntry {
        version: ENTRY_VERSION,
        node: digit.to_string().repeat(64),
        process: uuid::Uuid::nil(),
        started_at: 0.0,
        at: 0.0,
        software: String::new(),
        address: None,
        draining: false,
        ready: true,
        not_ready: Vec::new(),
        pressure: Strain::None,
        capacity: 4,
        open,
        queue: 0,
        models: BTreeMap::new(),
        bundle: BundleEntry { name: bundle.to_owned(), sha256 },
        classes: classes.iter().map(Class::to_string).collect(),
        max_pixels: largest.pixels(),
        expected_seconds: 30.0,
        stage_seconds: BTreeMap::new(),
        devices: Vec::new(),
    }
}

fn order(replicas: u32) -> Order {
    Order {
        slot: SlotId::new(uuid::Uuid::from_u128(1)),
        recipe: Bytes::new(),
        signer: None,
        resolution: Resolution::new(512, 512).unwrap(),
        deadline: None,
        replicas: NonZeroU32::new(replicas).unwrap(),
        priority: Priority::Normal,
        bundle: None,
        epoch: EpochRule::First,
        traceparent: None,
    }
}

/// The first digits of the nodes, in the order of the replicas.
fn chosen(order: &Order, nodes: &[NodeEntry]) -> Result<String, PlanError> {
    let planned = plan(order, nodes, NOW, NonZeroU32::MIN)?;
    assert!(planned.iter().zip(1..).all(|(subject, replica)| subject.work.replica.get() == replica));
    Ok(planned
        .iter()
        .map(|subject| match &subject.to {
            Recipient::Any => '*',
            Recipient::Node(node) => node.chars().next().unwrap(),
        })
        .collect())
}

#[test]
fn one_rendering_is_for_anybody_as_long_as_somebody_could_ever_do_it() {
    let mut nodes = vec![node('a', "x", 0), node('b', "x", 0)];
    assert_eq!(chosen(&order(1), &nodes).unwrap(), "*");
    nodes.iter_mut().for_each(|node| (node.ready, node.draining) = (false, true));
    assert_eq!(chosen(&order(1), &nodes).unwrap(), "*", "it waits for them");
    for (change, why) in [
        (Order { resolution: Resolution::new(1024, 1024).unwrap(), ..order(1) }, "262144 pixels at most"),
        (
            Order { deadline: Some(NOW + Duration::from_secs(20)), ..order(1) },
            "takes 30 s for a slot, too long",
        ),
        (Order { bundle: Some(Sha256::of(b"y")), ..order(1) }, "has bundle x ("),
    ] {
        let error = chosen(&change, &nodes).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, PlanError::Nobody { .. }) && text.matches(why).count() == 2, "{text}");
    }
    assert!(chosen(&order(1), &[]).unwrap_err().to_string().contains("no node is in the registry"));
    let late = Order { deadline: Some(NOW), ..order(1) };
    assert!(matches!(chosen(&late, &nodes), Err(PlanError::Late { .. })));
    // The node that can is not the first: those before it do not count.
    let slow = NodeEntry { classes: Vec::new(), ..node('a', "x", 0) };
    assert_eq!(chosen(&order(1), &[slow.clone(), node('b', "x", 0), slow]).unwrap(), "*");
}

#[test]
fn replicas_are_for_the_nodes_with_the_most_room_of_the_bundle_that_most_have() {
    let nodes =
        [node('a', "x", 3), node('b', "x", 0), node('c', "y", 0), node('d', "x", 1), node('e', "y", 0)];
    assert_eq!(chosen(&order(2), &nodes).unwrap(), "bd");
    assert_eq!(chosen(&order(3), &nodes).unwrap(), "bda");
    let named = Order { bundle: Some(Sha256::of(b"y")), ..order(2) };
    assert_eq!(chosen(&named, &nodes).unwrap(), "ce");
    let planned = plan(&order(2), &nodes, NOW, NonZeroU32::MIN).unwrap();
    assert_eq!(planned[0].class.bundle, Some(Class::bundle_name(Sha256::of(b"x"))));
    let short = NodeEntry { pressure: Strain::Soft, ..node('b', "x", 0) };
    assert_eq!(chosen(&order(2), &[node('a', "x", 3), short, node('d', "x", 1)]).unwrap(), "da");
}

#[test]
fn too_few_nodes_are_told_one_by_one() {
    let draining = NodeEntry { draining: true, ..node('b', "x", 0) };
    let loading = NodeEntry { ready: false, not_ready: vec!["flux loads".to_owned()], ..node('c', "x", 0) };
    let nodes = [node('a', "x", 0), draining, loading, node('d', "x", 0), node('e', "y", 0)];
    let text = chosen(&order(3), &nodes).unwrap_err().to_string();
    for part in [
        "by 3 distinct nodes of one bundle, and 2 can",
        &format!("node {} is about to end", "b".repeat(64)),
        &format!("node {} is not ready: flux loads", "c".repeat(64)),
        &format!("node {} has bundle y (", "e".repeat(64)),
    ] {
        assert!(text.contains(part), "{text}");
    }
}
