//! Compares what a client did with what a trace expects.

use crate::replay::{Observed, sort};
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};

/// Codes that are those of the specification. All others that did not come from the server are
/// the recorded client's own choice.
const SPECIFIED: [u64; 5] = [90001, 91004, 91005, 91008, 40012];

/// The recorded client notices an idle timeout up to so many milliseconds late.
const IDLE_SLACK: u64 = 100;

#[derive(Clone, Debug)]
struct Observation {
    time: u64,
    after_idle: bool,
    what: Json,
}

type Groups = BTreeMap<(usize, String), Vec<Observation>>;

/// The first difference between what is expected and what was observed, in words.
pub(crate) fn first_difference(
    trace: &Json,
    expected: &Json,
    observed: &[Observed],
) -> Option<String> {
    let steps = trace["steps"].as_array()?;
    let rules = Rules::of(trace);
    let mut wanted = Groups::new();
    for observation in expected.as_array()? {
        let step = usize::try_from(observation["step"].as_u64()?).ok()?;
        let time = observation["t"].as_u64().or_else(|| steps.get(step)?["t"].as_u64())?;
        let mut what = observation.clone();
        let object = what.as_object_mut()?;
        object.remove("step");
        object.remove("t");
        rules.add(&mut wanted, step, time, false, &what);
    }
    let mut found = Groups::new();
    for Observed { step, time, after_idle, what } in observed {
        rules.add(&mut found, *step, *time, *after_idle, what);
    }
    let keys: BTreeSet<&(usize, String)> = wanted.keys().chain(found.keys()).collect();
    for key in keys {
        let none = Vec::new();
        let (wanted, found) = (wanted.get(key).unwrap_or(&none), found.get(key).unwrap_or(&none));
        for place in 0..wanted.len().max(found.len()) {
            let (wanted, found) = (wanted.get(place), found.get(place));
            let same = match (wanted, found) {
                (Some(wanted), Some(found)) => {
                    let slack = if found.after_idle { IDLE_SLACK } else { 0 };
                    matches(&wanted.what, &found.what)
                        && (found.time..=found.time + slack).contains(&wanted.time)
                }
                _ => false,
            };
            if !same {
                let show = |observation: Option<&Observation>| {
                    observation.map_or("nothing".into(), |o| format!("t={} {}", o.time, o.what))
                };
                return Some(format!(
                    "step {}: expected {}, got {}",
                    key.0,
                    show(wanted),
                    show(found)
                ));
            }
        }
    }
    None
}

/// The calls of `get` that waited and failed with 91005 when their channel became SUSPENDED.
pub(crate) fn gets_cut_by_suspension(trace: &Json, observed: &[Observed]) -> BTreeSet<Option<u64>> {
    let mut cut = BTreeSet::new();
    for call in trace["steps"].as_array().into_iter().flatten() {
        if call["call"] != "get" || call["waitForSync"] == false {
            continue;
        }
        let suspensions = observed.iter().filter(|o| {
            let event = &o.what["channel"];
            event["name"] == call["channel"] && event["event"] == "suspended"
        });
        for suspension in suspensions {
            cut.extend(observed.iter().filter_map(|o| {
                let done = &o.what["done"];
                (o.time == suspension.time
                    && o.step == suspension.step
                    && done["op"] == call["op"]
                    && done["error"]["code"] == 91005)
                    .then(|| done["op"].as_u64())
            }));
        }
    }
    cut
}

/// Whether what was found is what was wanted, where a code that is a client's own choice may be
/// any code, or none.
fn matches(wanted: &Json, found: &Json) -> bool {
    let free = |body: &Json| body["code"] == FREE || body["error"]["code"] == FREE;
    let Some((kind, wanted_body)) = wanted.as_object().and_then(|object| object.iter().next())
    else {
        return false;
    };
    if !free(wanted_body) {
        return wanted == found;
    }
    let strip = |body: &Json| {
        let mut body = body.clone();
        remove(&mut body, "code");
        if body["error"].is_object() {
            body["error"] = FREE.into();
        }
        body
    };
    strip(wanted_body) == strip(&found[kind])
}

/// Stands for a code that is not compared.
const FREE: &str = "any";

struct Rules {
    server_codes: BTreeSet<u64>,
    params: BTreeSet<String>,
}

impl Rules {
    fn of(trace: &Json) -> Self {
        let mut server_codes = BTreeSet::new();
        for step in trace["steps"].as_array().into_iter().flatten() {
            codes(&step["recv"], &mut server_codes);
        }
        let mut params: BTreeSet<String> =
            ["resume", "recover", "clientId"].map(String::from).into();
        if let Some(own) = trace["options"]["transportParams"].as_object() {
            params.extend(own.keys().cloned());
        }
        Self { server_codes, params }
    }

    /// Puts an observation into its group, less what is not compared.
    fn add(&self, groups: &mut Groups, step: usize, time: u64, after_idle: bool, what: &Json) {
        let Some((kind, body)) = what.as_object().and_then(|object| object.iter().next()) else {
            return;
        };
        let (group, body) = match kind.as_str() {
            "sent" => {
                let body = without_nulls(body);
                if body["action"] == 5 {
                    return;
                }
                ("sent".into(), body)
            }
            "transport" => ("transport".into(), self.transport(body)),
            "connection" => ("connection".into(), self.connection(body)),
            "channel" => (format!("channel {}", body["name"]), self.channel(body)),
            "presence" => {
                let member = format!(
                    "presence {} {} {}",
                    body["channel"], body["clientId"], body["connectionId"]
                );
                (member, without_nulls(body))
            }
            "done" => (format!("done {}", body["op"]), self.done(body)),
            "inspect" => (format!("inspect {}", body["channel"]), inspect(body)),
            other => (other.into(), body.clone()),
        };
        let what = Json::Object(Map::from_iter([(kind.clone(), body)]));
        groups.entry((step, group)).or_default().push(Observation { time, after_idle, what });
    }

    /// Whether a code must come out as it is.
    fn counts(&self, code: &Json) -> bool {
        code.as_u64()
            .is_some_and(|code| self.server_codes.contains(&code) || SPECIFIED.contains(&code))
    }

    /// Leaves a code open that is not compared.
    fn free_code(&self, body: &mut Json, by_application: bool) {
        let from_server = body["code"].as_u64().is_some_and(|c| self.server_codes.contains(&c));
        if body["code"].is_number()
            && (!self.counts(&body["code"]) || (by_application && !from_server))
        {
            body["code"] = FREE.into();
        }
    }

    fn transport(&self, body: &Json) -> Json {
        let mut body = body.clone();
        if let Some(open) = body.get_mut("open").and_then(Json::as_object_mut) {
            open.retain(|name, value| {
                self.params.contains(name) || (name == "echo" && value == "false")
            });
        }
        body
    }

    fn connection(&self, body: &Json) -> Json {
        let mut body = without_nulls(body);
        let by_application = matches!(body["state"].as_str(), Some("closing" | "closed"));
        self.free_code(&mut body, by_application);
        body
    }

    fn channel(&self, body: &Json) -> Json {
        let mut body = without_nulls(body);
        let by_application = body["state"] == "detached";
        self.free_code(&mut body, by_application);
        if !self.counts(&body["cause"]) {
            remove(&mut body, "cause");
        }
        if body["resumed"] != true {
            remove(&mut body, "resumed");
        }
        body
    }

    fn done(&self, body: &Json) -> Json {
        let mut body = without_nulls(body);
        let error = body["error"].clone();
        if error.is_object() {
            let code = &error["code"];
            body["error"] = if code.as_u64().is_some_and(|c| self.server_codes.contains(&c)) {
                error
            } else if self.counts(code) {
                Json::Object(Map::from_iter([("code".into(), code.clone())]))
            } else {
                Json::Object(Map::from_iter([("code".into(), FREE.into())]))
            };
        }
        if let Some(members) = body.get_mut("members").and_then(Json::as_array_mut) {
            sort(members);
        }
        body
    }
}

fn inspect(body: &Json) -> Json {
    let mut body = without_nulls(body);
    for list in ["members", "own"] {
        if let Some(members) = body.get_mut(list).and_then(Json::as_array_mut) {
            sort(members);
        }
    }
    body
}

fn remove(body: &mut Json, name: &str) {
    if let Some(object) = body.as_object_mut() {
        object.remove(name);
    }
}

fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(object) => object
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        Json::Array(items) => items.iter().map(without_nulls).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

/// All error codes in a frame.
fn codes(value: &Json, found: &mut BTreeSet<u64>) {
    match value {
        Json::Object(object) => {
            for (name, value) in object {
                if name == "code" {
                    found.extend(value.as_u64());
                }
                codes(value, found);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| codes(item, found)),
        _ => {}
    }
}
