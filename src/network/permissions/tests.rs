use super::*;

const NODE: PublicKey = PublicKey([0xab; 32]);
const OTHER: PublicKey = PublicKey([0xcd; 32]);

fn roles() -> [Role; 5] {
    [Role::Setup, Role::Node(NODE), Role::Director(Some(OTHER)), Role::Director(None), Role::Watcher]
}

/// Whether one of `patterns` takes `subject`, as a server matches them.
fn takes(patterns: &[String], subject: &str) -> bool {
    patterns.iter().any(|pattern| {
        let (mut wanted, mut there) = (pattern.split('.'), subject.split('.'));
        loop {
            match (wanted.next(), there.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    })
}

fn may_publish(role: Role, subject: &str) -> bool {
    takes(&Permissions::of(&role, "net").publish, subject)
}

#[test]
fn each_role_may_do_what_it_is_for_and_nothing_else() {
    let [setup, node, director, open, watcher] = roles();
    let (own, other) = (NODE.to_string(), OTHER.to_string());
    let slot = "6f1c0f4e-5d7c-4a52-9a3e-2b8f0c1d7e90.1.1";
    let work = |director: &str| format!("net.work.any.normal.p512.any.free.{director}.{slot}");
    let any = "$JS.API.CONSUMER.CREATE.net_work.any-high-p512-any-free.net.work.any.high.p512.any.free.>";
    for (subject, may) in [
        (work(&other[..16]), vec![director]),
        (work("open"), vec![open]),
        (work(&own[..16]), vec![]),
        ("net.cancels.6f1c0f4e".to_owned(), vec![director, open]),
        (format!("net.results.{slot}"), vec![node]),
        (format!("net.letters.{slot}"), vec![node]),
        ("net.letters.unreadable.7".to_owned(), vec![node]),
        (format!("net.attempts.{slot}"), vec![node]),
        (format!("net.progress.{slot}"), vec![node]),
        (format!("$KV.net_nodes.{own}"), vec![node]),
        (format!("$KV.net_nodes.{other}"), vec![]),
        (format!("$KV.net_directors.{other}"), vec![setup]),
        ("$JS.ACK.net_work.any-high.1.2.3.4.5".to_owned(), vec![node]),
        ("$JS.API.CONSUMER.MSG.NEXT.net_work.any-high".to_owned(), vec![node]),
        ("$JS.API.CONSUMER.MSG.NEXT.net_results.all".to_owned(), vec![]),
        (any.to_owned(), vec![node, setup]),
        (format!("$JS.API.CONSUMER.CREATE.net_work.to-{own}.net.work.{own}.>"), vec![node, setup]),
        (format!("$JS.API.CONSUMER.CREATE.net_work.to-{other}.net.work.{other}.>"), vec![setup]),
        ("$JS.API.CONSUMER.CREATE.net_work.all".to_owned(), vec![setup]),
        ("$JS.API.CONSUMER.CREATE.net_results.all.net.results.>".to_owned(), vec![]),
        ("$JS.API.STREAM.CREATE.net_work".to_owned(), vec![setup]),
        ("$JS.API.STREAM.UPDATE.KV_net_nodes".to_owned(), vec![setup]),
        ("$JS.API.STREAM.DELETE.net_work".to_owned(), vec![]),
        ("$JS.API.STREAM.PURGE.net_work".to_owned(), vec![]),
        ("$JS.API.STREAM.MSG.DELETE.net_letters".to_owned(), vec![setup]),
        ("$JS.API.STREAM.MSG.DELETE.net_results".to_owned(), vec![]),
        (format!("$JS.API.DIRECT.GET.net_results.net.results.{slot}"), roles().into()),
        ("$JS.API.STREAM.MSG.GET.KV_net_directors".to_owned(), roles().into()),
        ("$JS.API.STREAM.INFO.net_work".to_owned(), roles().into()),
        ("$JS.API.STREAM.MSG.GET.net_work".to_owned(), vec![node, setup]),
        ("$JS.API.DIRECT.GET.net_work".to_owned(), vec![]),
        ("$JS.API.STREAM.INFO.other_work".to_owned(), vec![]),
        ("anything".to_owned(), vec![]),
    ] {
        for role in roles() {
            assert_eq!(may_publish(role, &subject), may.contains(&role), "{subject} by {role:?}");
        }
    }
    let heard = |role: Role, subject: &str| takes(&Permissions::of(&role, "net").subscribe, subject);
    for (subject, may) in [
        (format!("net.results.{slot}"), vec![director, open, watcher]),
        (format!("net.progress.{slot}"), vec![director, open, watcher]),
        ("net.cancels.6f1c0f4e".to_owned(), vec![node, director, open, watcher]),
        (format!("$KV.net_nodes.{own}"), vec![node, director, open, watcher]),
        (work("open"), vec![]),
        (format!("_INBOX_net.node.{own}.x"), vec![node]),
        (format!("_INBOX_net.node.{other}.x"), vec![]),
        (format!("_INBOX_net.director.{other}.x.1"), vec![director]),
        ("_INBOX_net.director.open.x".to_owned(), vec![open]),
        ("_INBOX_net.watcher.x".to_owned(), vec![watcher]),
        ("_INBOX.x".to_owned(), vec![]),
    ] {
        for role in roles() {
            assert_eq!(heard(role, &subject), may.contains(&role), "{subject} by {role:?}");
        }
    }
}

#[test]
fn two_networks_on_one_server_have_nothing_in_common() {
    for role in roles() {
        let (one, other) = (Permissions::of(&role, "net"), Permissions::of(&role, "net2"));
        let shared = |subject: &&String| *subject != "$JS.API.INFO";
        assert!(one.publish.iter().filter(shared).all(|subject| !other.publish.contains(subject)));
        assert!(one.subscribe.iter().all(|subject| !other.subscribe.contains(subject)));
        assert_ne!((one.user, one.inbox), (other.user, other.inbox));
    }
}

#[test]
fn the_block_quotes_every_subject_and_holds_no_password() {
    let users = [Permissions::of(&Role::Node(NODE), "net_1"), Permissions::of(&Role::Watcher, "net_1")];
    let text = conf(&users);
    assert!(text.starts_with("authorization {\n  users = [\n") && text.ends_with("  ]\n}\n"), "{text}");
    assert!(text.contains("user: \"net-1-node-abababababababab\""), "{text}");
    assert!(text.contains("password: $NATS_NET_1_NODE_ABABABABABABABAB_PASSWORD\n"), "{text}");
    assert!(text.contains("inbox prefix: _INBOX_net_1.watcher\n"), "{text}");
    for user in &users {
        for subject in user.publish.iter().chain(&user.subscribe) {
            assert!(text.contains(&format!("\"{subject}\"\n")), "{subject}");
        }
    }
    assert_eq!(users[1].json()["sub"]["allow"][0], "_INBOX_net_1.watcher.>");
    assert_eq!(users[1].json()["pub"]["allow"], json!(users[1].publish));
}
