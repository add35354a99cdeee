//! The flags that carry settings: the strongest layer of the configuration.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::config::{ENV_PREFIX, FlagSetting, Inputs, shipped};

/// Where configuration lies, and settings that go over all of it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct ConfigFlags {
    /// Folder with node.toml, profiles/ and voices.toml [default: config in the current folder, else the
    /// shipped one]
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Profile to lay over node.toml: cpu, rtx3060-12gb, h200, or one of your own
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Where the models live: auto, cpu, cuda:N, or several separated by commas
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Folder for journal, slots and caches
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// How log lines look: auto, human or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Which log lines are written, such as info or warn,vortex_node::vram=debug
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Any setting, such as memory.soft_limit=11.0GB; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write a key, '=' and a value")?;
    let key = key.trim();
    // An empty part would name a setting without a name.
    if key.split('.').any(str::is_empty) {
        return Err(format!("{key:?} is not a dotted key such as memory.soft_limit"));
    }
    Ok((key.to_owned(), value.trim().to_owned()))
}

impl ConfigFlags {
    /// What configuration is loaded from: these flags, `environment`, and what is shipped with this executable.
    pub fn inputs(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Inputs {
        let mut environment: Vec<(String, OsString)> = environment
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        // Where the system does not say what it runs, the other places remain.
        let executable = std::env::current_exe().ok();
        let shipped = shipped(executable.as_deref(), |name| {
            environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        });
        environment.retain(|(name, _)| name.starts_with(ENV_PREFIX));
        let named = [
            ("--profile", "profile", &self.profile),
            ("--device", "device", &self.device),
            ("--data-dir", "data_dir", &self.data_dir),
            ("--log-format", "telemetry.format", &self.log_format),
            ("--log", "telemetry.filter", &self.log),
        ];
        let flag = |flag: &str, key: &str, value: &str| FlagSetting {
            flag: flag.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        // A flag of its own says more precisely what is meant, so it goes over --set.
        let set = self.set.iter().map(|(key, value)| flag("--set", key, value));
        let named =
            named.into_iter().filter_map(|(name, key, value)| Some(flag(name, key, value.as_deref()?)));
        let flags = set.chain(named).collect();
        Inputs { config_dir: self.config_dir.clone(), shipped, environment, flags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_split_at_its_first_equals_sign() {
        let split = key_and_value("telemetry.filter = a=debug").unwrap();
        assert_eq!(split, ("telemetry.filter".to_owned(), "a=debug".to_owned()));
        for text in ["memory.soft_limit", "=1", "memory.=1", ".a=1", "a..b=1"] {
            assert!(key_and_value(text).is_err(), "{text}");
        }
    }
}
