//! `vortex-node probe`: asks a node's probe from beside it, for health checks of containers, where there is no `curl`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::remote::block_on;
use super::{ConfigFlags, Context, Failed, Style};
use crate::client::local::Serving;
use crate::client::{Probed, plain, probe};
use crate::config::Settings;
use crate::exit::Exit;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Whether the process is worth keeping
    Livez,
    /// Whether slots may be sent
    Readyz,
    /// Whether all models have been ready once
    Startupz,
}

/// Arguments of `probe`.
#[derive(Debug, Args)]
pub struct ProbeCommand {
    /// What is asked
    #[arg(value_enum, default_value_t = Which::Readyz)]
    which: Which,
    /// Where, plain HTTP [default: `http.management` of the settings, else the node that serves from the data folder, else
    /// `http.listen`]
    #[arg(long, value_name = "URL")]
    management: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

impl ProbeCommand {
    /// They say where the node listens.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.config)
    }

    /// Asks once. Exit code 0 where the node says yes, 1 where it says no, or nothing.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let base = match self.management {
            Some(url) => url,
            None => address(&context.loaded()?.settings)?,
        };
        let name = match self.which {
            Which::Livez => "livez",
            Which::Readyz => "readyz",
            Which::Startupz => "startupz",
        };
        let url = format!("{}/{name}", base.trim_end_matches('/'));
        let asked = block_on(probe(&url))?;
        let ok = matches!(&asked, Ok(Probed { status: 200, .. }));
        if self.json {
            let (status, said) = match asked {
                Ok(Probed { status, said }) => (Some(status), said),
                Err(why) => (None, why),
            };
            context.console.json(&json!({ "ok": ok, "url": url, "status": status, "said": said }))?;
        } else {
            match asked {
                Ok(Probed { said, .. }) if ok => {
                    let said = context.console.paint(Style::Good, plain(&said));
                    writeln!(context.console.out(), "{said}")?;
                }
                Ok(Probed { status, said }) => {
                    return Err(Failed::failure(format!("{url} answers {status}: {}", plain(&said))));
                }
                Err(why) => return Err(Failed::failure(why)),
            }
        }
        Ok(if ok { Exit::Success } else { Exit::Failure })
    }
}

/// Where a node with these settings answers probes without TLS.
fn address(settings: &Settings) -> Result<String, Failed> {
    let http = &settings.http;
    if let Some(management) = http.management {
        return Ok(format!("http://{}", from_here(management)));
    }
    let serving = Serving::read(&settings.data_dir).map_err(|error| Failed::failure(error.to_string()))?;
    let url = match serving {
        Some(serving) => serving.url,
        None if http.tls_certificate.is_some() => "https://".to_owned(),
        None => format!("http://{}", from_here(http.listen)),
    };
    if url.starts_with("http://") {
        return Ok(url);
    }
    Err(Failed::failure(
        "this node answers by TLS only, to whoever it has a certificate for; set http.management = \"127.0.0.1:9101\" \
         for probes from beside it",
    ))
}

/// Where a listener is reached from the machine that it is on.
pub(super) fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_the_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:9101", "127.0.0.1:9101"),
            ("[::]:9101", "[::1]:9101"),
            ("10.0.0.7:9101", "10.0.0.7:9101"),
        ] {
            assert_eq!(from_here(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
