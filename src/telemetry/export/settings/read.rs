//! Reads the variables, and remembers all that is wrong with them.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Batches, ExportSettings, Problem, Protocol, REFUSED, SERVICE, SignalSettings, TIMEOUT};
use crate::telemetry::export::Signal;
use crate::telemetry::traces::Sampler;

/// Metrics are sent this often, as the specification has it.
const METRIC_INTERVAL: Duration = Duration::from_secs(60);

/// Of a receiver: for all signals, and for each alone.
const OF_RECEIVERS: [&str; 6] = ["ENDPOINT", "PROTOCOL", "TIMEOUT", "COMPRESSION", "HEADERS", "CERTIFICATE"];
/// Of the process.
const OF_PROCESS: [&str; 17] = [
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_PROPAGATORS",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BLRP_SCHEDULE_DELAY",
    "OTEL_BLRP_MAX_QUEUE_SIZE",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
];

fn of_receiver(signal: Option<Signal>, what: &str) -> String {
    match signal {
        Some(signal) => format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name().to_uppercase()),
        None => format!("OTEL_EXPORTER_OTLP_{what}"),
    }
}

/// Whether the variable `name` is read, or refused.
pub(super) fn is_known(name: &str) -> bool {
    let signals = || Signal::ALL.map(Some).into_iter().chain([None]);
    OF_PROCESS.contains(&name)
        || REFUSED.iter().any(|(refused, _)| *refused == name)
        || OF_RECEIVERS.iter().any(|what| signals().any(|signal| of_receiver(signal, what) == name))
}

/// What is wrong so far.
pub(super) struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { variable, problems: Vec::new() }
    }

    pub(super) fn problems(self) -> Vec<Problem> {
        self.problems
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The variable of a signal, or the one for all.
    fn of_signal(&self, signal: Signal, what: &str) -> Option<(String, String)> {
        let names = [of_receiver(Some(signal), what), of_receiver(None, what)];
        names.into_iter().find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    fn wrong(&mut self, variable: &str, found: &str, accepted: impl Into<String>) {
        // A variable for all signals is read for each of them.
        if self.problems.iter().any(|known| known.variable == variable) {
            return;
        }
        self.problems.push(Problem {
            variable: variable.to_owned(),
            found: found.to_owned(),
            accepted: accepted.into(),
        });
    }

    pub(super) fn all(&mut self, instance: &str) -> ExportSettings {
        for (name, why) in REFUSED {
            if let Some(value) = self.get(name) {
                self.wrong(name, &value, format!("nothing: {why}"));
            }
        }
        let disabled =
            self.one_of("OTEL_SDK_DISABLED", &[("false", false), ("true", true)]).unwrap_or_default();
        let [traces, metrics, logs] = Signal::ALL.map(|signal| {
            let name = format!("OTEL_{}_EXPORTER", signal.name().to_uppercase());
            let exporter = self.one_of(&name, &[("otlp", true), ("none", false)]).unwrap_or(true);
            // All of it is read, so that all of it is checked.
            self.receiver(signal).filter(|_| exporter && !disabled)
        });
        self.propagators();
        let temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        // Counters are never set back, so that an export that is lost loses nothing.
        self.one_of(temporality, &[("cumulative", ())]);
        let (sampler, parent_based) = self.sampler();
        ExportSettings {
            traces,
            metrics,
            logs,
            span_batches: self.batches("BSP"),
            log_batches: self.batches("BLRP"),
            metric_interval: self.millis("OTEL_METRIC_EXPORT_INTERVAL").unwrap_or(METRIC_INTERVAL),
            sampler,
            parent_based,
            attributes: self.attributes(instance),
        }
    }

    fn batches(&mut self, processor: &str) -> Batches {
        let mut batches = Batches::DEFAULT;
        if let Some(delay) = self.millis(&format!("OTEL_{processor}_SCHEDULE_DELAY")) {
            batches.delay = delay;
        }
        if let Some(queue) = self.count(&format!("OTEL_{processor}_MAX_QUEUE_SIZE")) {
            batches.queue = queue;
            batches.batch = batches.batch.min(queue);
        }
        let name = format!("OTEL_{processor}_MAX_EXPORT_BATCH_SIZE");
        if let Some(batch) = self.count(&name) {
            if batch > batches.queue {
                self.wrong(&name, &batch.to_string(), format!("at most the queue's {}", batches.queue));
            }
            batches.batch = batch;
        }
        batches
    }

    fn millis(&mut self, name: &str) -> Option<Duration> {
        self.whole(name, "milliseconds, a whole number above 0").map(Duration::from_millis)
    }

    fn count(&mut self, name: &str) -> Option<usize> {
        // A queue is set aside at the start.
        const MOST: u64 = 1 << 20;
        let count = self.whole(name, "a whole number from 1 to 1048576")?;
        if count > MOST {
            self.wrong(name, &count.to_string(), "a whole number from 1 to 1048576");
            return None;
        }
        usize::try_from(count).ok()
    }

    fn whole(&mut self, name: &str, accepted: &str) -> Option<u64> {
        let value = self.get(name)?;
        match value.parse::<u64>() {
            Ok(number) if number > 0 => Some(number),
            Ok(_) | Err(_) => {
                self.wrong(name, &value, accepted);
                None
            }
        }
    }

    /// `traceparent` is what is read and written; baggage is passed over.
    fn propagators(&mut self) {
        const NAME: &str = "OTEL_PROPAGATORS";
        let Some(value) = self.get(NAME) else { return };
        let is_ours = |word: &str| matches!(word.trim(), "tracecontext" | "baggage");
        if !value.split(',').all(is_ours) || !value.contains("tracecontext") {
            self.wrong(NAME, &value, "tracecontext, with or without baggage");
        }
    }

    fn one_of<T: Copy>(&mut self, name: &str, accepted: &[(&str, T)]) -> Option<T> {
        let value = self.get(name)?;
        let found = accepted.iter().find(|(word, _)| value.eq_ignore_ascii_case(word));
        if found.is_none() {
            let words: Vec<&str> = accepted.iter().map(|(word, _)| *word).collect();
            self.wrong(name, &value, words.join(", "));
        }
        found.map(|(_, meaning)| *meaning)
    }

    fn receiver(&mut self, signal: Signal) -> Option<SignalSettings> {
        let protocols = [("grpc", Protocol::Grpc), ("http/protobuf", Protocol::Http)];
        let protocol = self.of_signal(signal, "PROTOCOL");
        let protocol =
            protocol.and_then(|(name, _)| self.one_of(&name, &protocols)).unwrap_or(Protocol::Http);
        let timeout = self.of_signal(signal, "TIMEOUT");
        let timeout = timeout.and_then(|(name, _)| self.millis(&name)).unwrap_or(TIMEOUT);
        if let Some((name, value)) =
            self.of_signal(signal, "COMPRESSION").filter(|(_, value)| value != "none")
        {
            self.wrong(&name, &value, "none: this node does not compress what it exports");
        }
        if let Some((name, value)) = self.of_signal(signal, "HEADERS")
            && let Err(accepted) = headers(&value)
        {
            // What stands there may be a secret.
            self.wrong(&name, "…", accepted);
        }
        let certificate = self.certificate(signal);
        let endpoint = self.endpoint(signal, protocol)?;
        Some(SignalSettings { endpoint, protocol, timeout, certificate })
    }

    fn certificate(&mut self, signal: Signal) -> Option<(String, Vec<u8>)> {
        let (name, value) = self.of_signal(signal, "CERTIFICATE")?;
        match std::fs::read(PathBuf::from(&value)) {
            Ok(pem) if String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") => {
                Some((name, pem))
            }
            Ok(_) => {
                self.wrong(&name, &value, "a file of certificates in PEM");
                None
            }
            Err(error) => {
                self.wrong(&name, &value, format!("a file of certificates in PEM ({error})"));
                None
            }
        }
    }

    fn endpoint(&mut self, signal: Signal, protocol: Protocol) -> Option<String> {
        let (name, value) = self.of_signal(signal, "ENDPOINT")?;
        let is_address = http::Uri::from_str(&value).is_ok_and(|address| {
            matches!(address.scheme_str(), Some("http" | "https"))
                && address.host().is_some_and(|host| !host.is_empty())
                && !address.authority().is_some_and(|it| it.as_str().contains('@'))
        });
        if !is_address {
            self.wrong(&name, &value, "http://HOST:PORT or https://HOST:PORT, without a user");
            return None;
        }
        let is_general = name == of_receiver(None, "ENDPOINT");
        Some(match protocol {
            Protocol::Http if is_general => format!("{}/v1/{}", value.trim_end_matches('/'), signal.name()),
            Protocol::Http | Protocol::Grpc => value,
        })
    }

    fn sampler(&mut self) -> (Sampler, bool) {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let ratio = match self.get("OTEL_TRACES_SAMPLER_ARG") {
            None => 1.0,
            Some(value) => match value.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
                Ok(_) | Err(_) => {
                    self.wrong("OTEL_TRACES_SAMPLER_ARG", &value, "a number from 0 to 1");
                    1.0
                }
            },
        };
        let samplers = [
            ("always_on", (Sampler::AlwaysOn, false)),
            ("always_off", (Sampler::AlwaysOff, false)),
            ("traceidratio", (Sampler::Ratio(ratio), false)),
            ("parentbased_always_on", (Sampler::AlwaysOn, true)),
            ("parentbased_always_off", (Sampler::AlwaysOff, true)),
            ("parentbased_traceidratio", (Sampler::Ratio(ratio), true)),
        ];
        self.one_of(NAME, &samplers).unwrap_or((Sampler::AlwaysOn, true))
    }

    fn attributes(&mut self, instance: &str) -> Vec<(String, String)> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut all: Vec<(String, String)> = vec![
            ("service.name".to_owned(), SERVICE.to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id".to_owned(), instance.to_owned()),
        ];
        let mut put = |key: String, value: String| {
            all.retain(|(known, _)| *known != key);
            all.push((key, value));
        };
        if let Some(value) = self.get(NAME) {
            match pairs(&value) {
                Some(pairs) => pairs.into_iter().for_each(|(key, value)| put(key, value)),
                None => self.wrong(NAME, &value, "KEY=VALUE, one after the other with commas"),
            }
        }
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            put("service.name".to_owned(), name);
        }
        all
    }
}

/// `KEY=VALUE,…`, with values percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = key.trim();
            (!key.is_empty()).then(|| Some((key.to_owned(), decoded(value.trim())?)))?
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Whether these can be headers; what would be accepted where not.
fn headers(text: &str) -> Result<(), String> {
    let accepted = || "NAME=VALUE, one after the other with commas, values percent-encoded".to_owned();
    for (name, value) in pairs(text).ok_or_else(accepted)? {
        http::HeaderName::from_str(&name).map_err(|_| accepted())?;
        http::HeaderValue::from_str(&value).map_err(|_| accepted())?;
    }
    Ok(())
}
