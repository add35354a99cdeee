//! Settings of a network: what is refused, and where lists come from.

use super::*;

/// A node in a network has a store, so that one is set here.
fn networked(key: &str, value: &str) -> Given {
    Given::new().flag("--set", "store.url", "file:///srv/store").flag("--set", key, value)
}

#[test]
fn settings_of_a_network_that_cannot_hold_are_refused() {
    for (key, value, what) in [
        (
            "network.servers",
            r#"["nats://a:4222", "http://b:4222"]"#,
            "\"http://b:4222\" is no address of a server",
        ),
        ("network.monitor", "nats://a:8222", "accepted: http://HOST:8222"),
        ("network.prefix", "\"a.b\"", "cannot begin subjects"),
        ("network.client_certificate", "a.pem", "network.client_key = \"off\" (default): is off beside"),
        ("network.client_key", "a.pem", "network.client_certificate = \"off\" (default): is off beside"),
        ("network.replicas", "2", "accepted: 1, 3 or 5"),
        ("network.ack_wait", "1999ms", "accepted: at least 2s"),
        ("network.away", "14s", "is shorter than three times network.heartbeat"),
        ("network.heartbeat", "21s", "accepted: at least 63s"),
        ("network.deliveries", "0", "a whole number from 1"),
        ("network.queue", "0", "a whole number from 1"),
        ("network.nodes", "[\"ab\"]", "64 hexadecimal digits"),
    ] {
        let problem = networked(key, value).problem();
        assert!(problem.contains(what), "{problem}");
    }
    let both = networked("network.credentials", "a.creds").flag("--set", "network.nkey", "a.nk").problem();
    assert!(both.contains("network.nkey = \"a.nk\" (flag --set): stands beside"), "{both}");
    for (key, value) in [("network.servers", "tls://a"), ("network.share_stages", "true")] {
        let alone = Given::new().flag("--set", key, value).problem();
        assert!(alone.starts_with(key) && alone.contains("accepted: such as store.url"), "{alone}");
        assert!(networked(key, value).load().is_ok());
    }
    assert!(networked("network.ack_wait", "2s").load().is_ok(), "exactly enough");
    assert!(networked("network.away", "15s").load().is_ok(), "exactly enough");
}

#[test]
fn a_password_in_a_servers_address_is_refused_and_not_repeated() {
    for value in ["nats://me:hunter2@a:4222", r#"["nats://b:4222", "nats://hunter2@a"]"#] {
        let problem = networked("network.servers", value).problem();
        assert!(problem.contains("a name or a password") && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn lists_of_a_network_come_from_variables_and_files() {
    let key = "ab".repeat(32);
    let given = networked("network.prefix", "net-1")
        .variable("VORTEX_NETWORK__SERVERS", r#"["nats://a:4222", "tls://b:4222"]"#)
        .variable("VORTEX_NETWORK__MONITOR", "http://a:8222,http://b:8222")
        .variable("VORTEX_NETWORK__NODES", &key)
        .file("node.toml", "[network]\nservers = [\"nats://c:4222\"]\nackwait = \"3s\"\n");
    let slip = given.problem();
    assert!(slip.ends_with("did you mean network.ack_wait?"), "{slip}");
    let network =
        given.file("node.toml", "[network]\nca_file = \"ca.pem\"\n").load().unwrap().settings.network;
    assert_eq!(network.servers, ["nats://a:4222", "tls://b:4222"]);
    assert_eq!(network.monitor, ["http://a:8222", "http://b:8222"]);
    assert_eq!((network.nodes, network.prefix.as_str()), (vec![[0xab; 32]], "net-1"));
    assert_eq!((network.ca_file, network.nkey), (Some(PathBuf::from("ca.pem")), None));
}
