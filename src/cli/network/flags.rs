//! Where the network is, and who asks.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::remote::RemoteFlags;
use crate::cli::{Context, Failed};
use crate::client::Certificates;
use crate::config::Settings;
use crate::network::permissions::{Role, inbox};
use crate::network::{Credentials, Server, Session, Subjects};
use crate::signing;
use crate::sink::PublicKey;

/// Of commands that ask the network, or a node where `--nats` is left out.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network")]
pub(in crate::cli) struct NatsFlags {
    /// Ask the network, at these of its servers: nats://HOST:4222 or tls://HOST:4222, commas between several [without a
    /// value: the setting network.servers]
    #[arg(long, value_name = "URL,…", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = addresses)]
    nats: Option<Addresses>,
    /// What the network's subjects and streams begin with [default: the setting network.prefix, else vortex]
    #[arg(long, value_name = "NAME", value_parser = prefix)]
    prefix: Option<String>,
    /// File that says who asks: a JWT and its NKey, as nsc writes it [default: the setting network.credentials]
    #[arg(long, value_name = "FILE", conflicts_with = "nkey")]
    credentials: Option<PathBuf>,
    /// File with an NKey's seed that says who asks [default: the setting network.nkey]
    #[arg(long, value_name = "FILE")]
    nkey: Option<PathBuf>,
    /// What subjects of answers begin with: the inbox_prefix that `nats permissions` names for who asks
    #[arg(long, value_name = "PREFIX", value_parser = inbox_prefix)]
    inbox: Option<String>,
}

/// Of commands that ask the network and nothing else.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network")]
pub(in crate::cli) struct NetworkFlags {
    #[command(flatten)]
    nats: NatsFlags,
    /// Certificates in PEM to trust beside the system's [default: the setting network.ca_file]
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Certificate in PEM to show to servers [default: the setting network.client_certificate]
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key, where it is not in the same file [default: the setting network.client_key]
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// Addresses of servers; none where those of the settings are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Addresses(Vec<String>);

fn addresses(text: &str) -> Result<Addresses, String> {
    const ACCEPTED: &str = "accepted: nats://HOST:4222 or tls://HOST:4222, commas between several";
    let each: Vec<String> =
        text.split(',').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect();
    for address in &each {
        if address.contains('@') {
            // It may be a password: nothing of it is shown.
            return Err(format!(
                "an address holds no names and passwords (see --credentials, --nkey); {ACCEPTED}"
            ));
        }
        let host = address.strip_prefix("nats://").or_else(|| address.strip_prefix("tls://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with(':')) {
            return Err(format!("{address:?} is no address of a server; {ACCEPTED}"));
        }
    }
    Ok(Addresses(each))
}

fn prefix(text: &str) -> Result<String, String> {
    Subjects::new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn inbox_prefix(text: &str) -> Result<String, String> {
    let fits =
        |part: &str| !part.is_empty() && !part.contains(['*', '>']) && !part.contains(char::is_whitespace);
    if text.split('.').all(fits) {
        return Ok(text.to_owned());
    }
    Err("accepted: a subject without * and >, such as _INBOX_vortex.watcher".to_owned())
}

impl NatsFlags {
    /// Whether the network is to be asked; flags for the one are none for the other.
    pub(in crate::cli) fn ask_network(&self, remote: &RemoteFlags) -> Result<bool, Failed> {
        let wrong = |flag: &str, what: &str| Err(Failed::bad_input(format!("{flag} {what}")));
        if self.nats.is_some() {
            let of_node = [("--url", remote.url.is_some()), ("--token-file", remote.token_file.is_some())];
            return match of_node.iter().find(|(_, given)| *given) {
                Some((flag, _)) => {
                    wrong(flag, "is for a node, and --nats asks the network; accepted: one of them")
                }
                None => Ok(true),
            };
        }
        let of_network = [
            ("--prefix", self.prefix.is_some()),
            ("--credentials", self.credentials.is_some()),
            ("--nkey", self.nkey.is_some()),
            ("--inbox", self.inbox.is_some()),
        ];
        match of_network.iter().find(|(_, given)| *given) {
            Some((flag, _)) => wrong(flag, "is for the network; accepted: with --nats"),
            None => Ok(false),
        }
    }

    /// The network that these flags and the settings lead to.
    pub(in crate::cli) fn find(
        &self,
        certificates: Certificates,
        context: &Context<'_>,
    ) -> Result<Target, Failed> {
        let settings = context.config.as_ref().map(|loaded| &loaded.settings);
        let network = settings.map(|settings| &settings.network);
        let mut servers = self.nats.clone().unwrap_or_default().0;
        if servers.is_empty() {
            servers = network.map(|network| network.servers.clone()).unwrap_or_default();
        }
        if servers.is_empty() {
            return Err(Failed::bad_input(
                "no server of a network is named; accepted: --nats=nats://HOST:4222, or the setting network.servers",
            ));
        }
        let prefix = self.prefix.as_deref().or(network.map(|network| network.prefix.as_str()));
        let subjects = Subjects::new(prefix.unwrap_or("vortex"));
        let subjects = subjects.map_err(|error| Failed::bad_input(format!("network.prefix: {error}")))?;
        let set = |of: fn(&crate::config::Network) -> &Option<PathBuf>| network.and_then(|it| of(it).clone());
        let (credentials, is_node) = match (&self.credentials, &self.nkey) {
            (Some(file), _) => (Credentials::File(file.clone()), false),
            (None, Some(file)) => (Credentials::Seed(file.clone()), false),
            (None, None) => match (set(|it| &it.credentials), set(|it| &it.nkey)) {
                (Some(file), _) => (Credentials::File(file), true),
                (None, Some(file)) => (Credentials::Seed(file), true),
                (None, None) => (Credentials::None, false),
            },
        };
        let (cert, key) = match certificates.cert {
            Some(cert) => (Some(cert), certificates.key),
            None => (set(|it| &it.client_certificate), set(|it| &it.client_key)),
        };
        let inbox = match (&self.inbox, settings.filter(|_| is_node)) {
            (Some(inbox), _) => inbox.clone(),
            (None, Some(settings)) => nodes_inbox(settings, &subjects),
            (None, None) => String::new(),
        };
        let server = Server {
            addresses: servers,
            credentials,
            ca_file: certificates.cacert.or_else(|| set(|it| &it.ca_file)),
            certificate: cert.map(|cert| (cert.clone(), key.unwrap_or(cert))),
            inbox,
            name: "vortex-node command".to_owned(),
        };
        let known = network.map(|network| network.nodes.iter().copied().map(PublicKey).collect());
        Ok(Target { server, subjects: Arc::new(subjects), known: known.unwrap_or_default() })
    }
}

/// The credentials of the settings are the node's, and so is the inbox that goes with them.
fn nodes_inbox(settings: &Settings, subjects: &Subjects) -> String {
    match signing::read_key(&settings.key_file()) {
        Ok(key) => {
            let node = PublicKey(key.verifying_key().to_bytes());
            inbox(&Role::Node(node), subjects.prefix())
        }
        // A node that was never started has none; then its credentials are good for little.
        Err(_) => String::new(),
    }
}

impl NetworkFlags {
    /// The network that these flags and the settings lead to.
    pub(in crate::cli) fn find(&self, context: &Context<'_>) -> Result<Target, Failed> {
        let certificates =
            Certificates { cacert: self.cacert.clone(), cert: self.cert.clone(), key: self.key.clone() };
        self.nats.find(certificates, context)
    }
}

/// A network to ask.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Target {
    server: Server,
    subjects: Arc<Subjects>,
    /// Whose results are trusted, by the setting `network.nodes`; every node's where none is listed.
    pub(in crate::cli) known: Vec<PublicKey>,
}

impl Target {
    /// A connection to one of its servers.
    pub(in crate::cli) async fn open(&self) -> Result<Session, crate::network::NetworkError> {
        self.server.open(&self.subjects).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::remote::testing::parse;

    #[test]
    fn addresses_have_a_scheme_and_no_secret() {
        let many = addresses("nats://a:4222, tls://[::1]:4222,").unwrap();
        assert_eq!(many.0, ["nats://a:4222", "tls://[::1]:4222"]);
        assert_eq!(addresses("").unwrap(), Addresses::default());
        for wrong in ["a:4222", "http://a", "nats://", "nats://:4222", "nats://a,b"] {
            assert!(addresses(wrong).unwrap_err().contains("accepted: nats://HOST"), "{wrong}");
        }
        let secret = addresses("nats://me:hunter2@host").unwrap_err();
        assert!(!secret.contains("hunter2") && secret.contains("--credentials"), "{secret}");
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        for arguments in [
            &["--nats=x"][..],
            &["--prefix", "a.b"],
            &["--credentials", "a", "--nkey", "b"],
            &["--inbox", "a.>"],
            &["--inbox", ""],
            &["--key", "x"],
        ] {
            assert!(parse::<NetworkFlags>(arguments).is_err(), "{arguments:?}");
        }
        assert!(parse::<NetworkFlags>(&["--nats=nats://a", "--inbox", "_INBOX_v.watcher"]).is_ok());
        assert_eq!(parse::<NatsFlags>(&["--nats"]).unwrap().nats, Some(Addresses::default()));
    }

    #[test]
    fn flags_for_the_network_are_none_for_a_node() {
        let ask = |network: &[&str], url: Option<&str>| {
            let remote = RemoteFlags { url: url.map(str::to_owned), ..RemoteFlags::default() };
            parse::<NatsFlags>(network).unwrap().ask_network(&remote)
        };
        assert!(!ask(&[], Some("http://x")).unwrap());
        assert!(ask(&["--nats", "--prefix", "x"], None).unwrap());
        assert!(ask(&["--nats"], Some("http://x")).unwrap_err().message().contains("--url is for a node"));
        assert!(ask(&["--nkey", "x"], None).unwrap_err().message().contains("accepted: with --nats"));
    }
}
