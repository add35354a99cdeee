use super::*;

fn names(bound: &str, tls: bool, further: &[&str]) -> Names {
    let further = further.iter().map(|name| name.parse().unwrap()).collect();
    Names::new(bound.parse().unwrap(), tls, further)
}

#[test]
fn a_loopback_listener_answers_to_loopback_names_with_its_port() {
    for bound in ["127.0.0.1:9100", "[::1]:9100"] {
        let own = names(bound, false, &[]);
        for host in ["localhost:9100", "LocalHost:9100", "127.0.0.1:9100", "[::1]:9100", "127.0.0.2:9100"] {
            assert!(own.allow_host(host), "{host}");
            assert!(own.allow_origin(&format!("http://{host}")), "{host}");
        }
        for host in [
            "evil.example:9100",
            "localhost",
            "localhost:80",
            "localhost:9101",
            "localhost.evil.example:9100",
            "localhost.:9100",
            "127.0.0.1.evil.example:9100",
            "192.168.1.5:9100",
            "user@localhost:9100",
            "localhost:9100:9100",
            "localhost:+9100",
            "[::1:9100",
            "0.0.0.0:9100",
            "",
            ":9100",
            "localhost:9100/x",
        ] {
            assert!(!own.allow_host(host), "{host}");
            assert!(!own.allow_origin(&format!("http://{host}")), "{host}");
        }
        for origin in ["null", "https://localhost:9100", "ftp://localhost:9100", "localhost:9100", ""] {
            assert!(!own.allow_origin(origin), "{origin}");
        }
    }
}

#[test]
fn a_listener_on_every_address_answers_to_addresses_and_configured_names() {
    let own = names("0.0.0.0:9100", true, &["render.example", "other.example:8443"]);
    for host in [
        "192.168.1.5:9100",
        "[2001:db8::1]:9100",
        "localhost:9100",
        "render.example:9100",
        "Render.Example",
        "render.example:1234",
        "other.example:8443",
    ] {
        assert!(own.allow_host(host), "{host}");
        assert!(own.allow_origin(&format!("https://{host}")), "{host}");
        assert!(!own.allow_origin(&format!("http://{host}")), "{host}");
    }
    for host in ["rebound.example:9100", "other.example:9100", "other.example", "sub.render.example:9100"] {
        assert!(!own.allow_host(host), "{host}");
    }
}

#[test]
fn a_listener_on_one_address_answers_to_that_one() {
    let own = names("10.0.0.7:443", true, &[]);
    assert!(own.allow_host("10.0.0.7") && own.allow_host("10.0.0.7:443"));
    assert!(!own.allow_host("10.0.0.8") && !own.allow_host("localhost") && !own.allow_host("127.0.0.1:443"));
}

#[test]
fn a_proxy_may_speak_tls_for_a_configured_name_only() {
    let own = names("127.0.0.1:9100", false, &["render.example"]);
    assert!(own.allow_origin("https://render.example") && own.allow_host("render.example"));
    assert!(!own.allow_origin("https://localhost:9100"));
    assert!(same_origin("https://render.example", "render.example"));
    assert!(same_origin("http://LOCALHOST:9100", "localhost:9100"));
    assert!(!same_origin("http://localhost:9100", "127.0.0.1:9100"));
    assert!(
        !same_origin("null", "localhost:9100") && !same_origin("http://localhost:9101", "localhost:9100")
    );
}

#[test]
fn a_name_with_the_usual_port_is_meant_without_it_too() {
    let own = names("127.0.0.1:9100", false, &["render.example:443"]);
    assert!(own.allow_host("render.example") && own.allow_origin("https://render.example"));
    assert!(own.allow_host("render.example:443") && !own.allow_host("render.example:9100"));
}

#[test]
fn what_is_told_to_a_person_leads_here() {
    assert_eq!(names("127.0.0.1:9100", false, &[]).address_here(), "http://127.0.0.1:9100");
    assert_eq!(names("0.0.0.0:9100", false, &[]).address_here(), "http://127.0.0.1:9100");
    assert_eq!(names("[::]:9100", false, &[]).address_here(), "http://[::1]:9100");
    assert_eq!(
        names("0.0.0.0:9100", true, &["render.example"]).address_here(),
        "https://render.example:9100"
    );
    assert!("a b".parse::<HostName>().is_err() && "http://x".parse::<HostName>().is_err());
}
