use std::collections::HashMap;

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<ExportSettings, SettingsError> {
    let all: HashMap<&str, &str> = variables.iter().copied().collect();
    ExportSettings::read("node-1", |name| all.get(name).map(|value| (*value).to_owned()))
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

#[test]
fn nothing_goes_out_unless_somebody_says_where() {
    let settings = read(&[]).unwrap();
    assert!(settings.is_off());
    assert_eq!((settings.sampler, settings.parent_based), (Sampler::AlwaysOn, true));
    // Set to nothing is not set.
    assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().traces, None);
    assert!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap().is_off());
    let on = |off: &str| {
        let settings = read(&[ENDPOINT, (off, "none")]).unwrap();
        [settings.traces.is_some(), settings.metrics.is_some(), settings.logs.is_some()]
    };
    assert_eq!(on("OTEL_TRACES_EXPORTER"), [false, true, true]);
    assert_eq!(on("OTEL_METRICS_EXPORTER"), [true, false, true]);
    assert_eq!(on("OTEL_LOGS_EXPORTER"), [true, true, false]);
}

#[test]
fn an_endpoint_for_all_gets_the_signals_path_and_one_of_its_own_does_not() {
    let endpoint = |variables: &[(&str, &str)]| read(variables).unwrap().traces.unwrap().endpoint;
    assert_eq!(endpoint(&[ENDPOINT]), "http://collector:4318/v1/traces");
    assert_eq!(endpoint(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), "http://collector:4318/");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/here");
    assert_eq!(endpoint(&[ENDPOINT, own]), "https://other/here");
    let settings = read(&[ENDPOINT, own]).unwrap();
    let others = [settings.metrics.unwrap().endpoint, settings.logs.unwrap().endpoint];
    assert_eq!(others, ["http://collector:4318/v1/metrics", "http://collector:4318/v1/logs"]);
    // One signal alone can be asked for.
    let settings = read(&[own]).unwrap();
    assert!(settings.traces.is_some() && settings.metrics.is_none() && settings.logs.is_none());
}

#[test]
fn a_signals_own_variable_counts_before_the_one_for_all() {
    let traces = read(&[
        ENDPOINT,
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "GRPC"),
    ]);
    let traces = traces.unwrap().traces.unwrap();
    assert_eq!((traces.timeout, traces.protocol), (Duration::from_millis(250), Protocol::Grpc));
}

#[test]
fn samplers_and_attributes_are_read() {
    let settings = read(&[
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=a%2Cb, service.name=other"),
        ("OTEL_SERVICE_NAME", "node"),
    ]);
    let settings = settings.unwrap();
    assert_eq!((settings.sampler, settings.parent_based), (Sampler::Ratio(0.25), true));
    let said: HashMap<String, String> = settings.attributes.into_iter().collect();
    assert_eq!(said["deployment.environment"], "a,b");
    // The variable of its own counts before what stands among the attributes.
    assert_eq!(said["service.name"], "node");
    assert_eq!(said["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["service.instance.id"], "node-1");
}

#[test]
fn every_value_that_makes_no_sense_is_named_at_once() {
    let wrong = [
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_PROPAGATORS", "b3"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1m"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4097"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "9999999"),
    ];
    let SettingsError(problems) = read(&wrong).unwrap_err();
    let mut named: Vec<&str> = problems.iter().map(|problem| problem.variable.as_str()).collect();
    let mut all: Vec<&str> = wrong.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    all.sort_unstable();
    assert_eq!(named, all);
    // Each is refused by itself, too, with what would be accepted.
    for (name, value) in wrong {
        let said = read(&[(name, value)]).unwrap_err().to_string();
        assert!(said.starts_with(name) && said.contains("accepted: "), "{said}");
    }
    for endpoint in ["ftp://a", "http://", "http://user:secret@host:4318", "nonsense", "http:/a"] {
        assert!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).is_err(), "{endpoint}");
    }
}

#[test]
fn what_may_be_a_secret_is_not_repeated() {
    let said = read(&[("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]).unwrap_err().to_string();
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn batches_and_intervals_are_read() {
    let settings = read(&[
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "250"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "64"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
        ("OTEL_PROPAGATORS", "tracecontext,baggage"),
    ]);
    let settings = settings.unwrap();
    let spans = Batches { queue: 100, batch: 100, delay: Duration::from_millis(250) };
    assert_eq!(settings.span_batches, spans, "no batch is larger than its queue");
    assert_eq!(settings.log_batches, Batches { batch: 64, ..Batches::DEFAULT });
    assert_eq!(settings.metric_interval, Duration::from_secs(15));
}

#[test]
fn variables_that_nobody_reads_are_named() {
    let names = [
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_EXPORTER_OTLP_INSECURE",
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        "PATH",
    ];
    let unknown = ExportSettings::not_read(names.map(str::to_owned));
    assert_eq!(unknown, ["OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_EXPORTER_OTLP_INSECURE"]);
}
