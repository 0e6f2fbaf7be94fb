//! `status`, `nic`, `vf` and `attach`: tables, JSON and what the agent is asked.

use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::{Agent, Prepared};
use crate::{assert_snapshot, samples};

/// The table is the committed one, the JSON is the agent's own.
#[track_caller]
fn assert_shown(name: &str, words: &[&str], request: &str, answer: &impl Serialize) -> Agent {
    let mut answer = serde_json::to_value(answer).expect("JSON");
    let agent = Prepared::default().on_json(request, &answer).start();
    let table = agent.run(words);
    assert_eq!(table.code, Some(0), "{table:?}");
    assert!(!table.stdout.contains('\x1b'), "{table:?}");
    assert_snapshot(name, &format!("{}{}", table.stdout, table.stderr));
    drop(agent);

    // What a newer agent adds reaches those who read JSON.
    if let Value::Object(fields) = &mut answer {
        fields.insert("newer".to_owned(), json!(u64::MAX));
    }
    let agent = Prepared::default().on_json(request, &answer).start();
    let raw = agent.run(words.iter().chain(&["--output", "json"]));
    assert_eq!((raw.code, raw.json()), (Some(0), answer));
    agent
}

#[test]
fn status() {
    assert_shown(
        "table_status",
        &["status"],
        "GET /v1/status",
        &samples::status(),
    );
}

#[test]
fn nic_list() {
    let nics = [samples::web(), samples::db()];
    assert_shown("table_nic_list", &["nic", "list"], "GET /v1/nics", &nics);
}

#[test]
fn no_nics_are_no_error() {
    let agent = Prepared::default()
        .on_json("GET /v1/nics", &json!([]))
        .start();
    let ran = agent.run(["nic", "list"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "no NICs\n"));
}

#[test]
fn nic_show() {
    let words = ["nic", "show", "web-1/eth0"];
    assert_shown(
        "table_nic_show",
        &words,
        "GET /v1/nics/web-1/eth0",
        &samples::detail(),
    );
}

#[test]
fn nic_stats_of_the_only_nic() {
    let words = ["nic", "stats", "web-1"];
    assert_shown(
        "table_nic_stats",
        &words,
        "GET /v1/nics/web-1/-/stats",
        &samples::stats(),
    );
}

#[test]
fn nic_flows() {
    let words = ["nic", "flows", "web-1"];
    assert_shown(
        "table_nic_flows",
        &words,
        "GET /v1/nics/web-1/-/flows",
        &samples::flows(),
    );
}

#[test]
fn nic_flows_hands_its_options_on() {
    let request = "GET /v1/nics/web-1/eth0/flows?limit=5&notOffloaded=true";
    let agent = Prepared::default()
        .on_json(request, &samples::flows())
        .start();
    let ran = agent.run([
        "nic",
        "flows",
        "web-1/eth0",
        "--not-offloaded",
        "--limit",
        "5",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn vf_revoke() {
    let words = ["vf", "revoke", "web-1", "--reason", "firmware update"];
    let state = samples::vf("synthetic", Some("revoked: firmware update"));
    let agent = assert_shown(
        "table_vf_revoke",
        &words,
        "POST /v1/nics/web-1/-/vf",
        &state,
    );
    let [(_, body)] = &agent.asked()[..] else {
        panic!("{:?}", agent.asked())
    };
    assert_eq!(
        *body,
        json!({"action": "revoke", "reason": "firmware update"})
    );
}

#[test]
fn vf_restore() {
    let words = ["vf", "restore", "web-1/eth0"];
    let state = samples::vf("accelerated", None);
    let agent = assert_shown(
        "table_vf_restore",
        &words,
        "POST /v1/nics/web-1/eth0/vf",
        &state,
    );
    assert_eq!(agent.asked()[0].1, json!({"action": "restore"}));
}

#[test]
fn attach_by_process_and_by_path() {
    let guest = samples::guest(Some("/proc/42/ns/net"));
    let words = ["attach", "web-1", "--pid", "42"];
    let agent = assert_shown(
        "table_attach",
        &words,
        "POST /v1/guests/web-1/attach",
        &guest,
    );
    assert_eq!(agent.asked()[0].1, json!({"pid": 42}));

    // The agent has another working directory.
    let ran = agent.run(["attach", "web-1", "--netns", "ns"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let here = std::env::current_dir().expect("a folder").join("ns");
    assert_eq!(agent.asked()[1].1, json!({"netns": here}));
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let agent = Prepared::default()
        .on_json("GET /v1/nics", &[samples::web()])
        .start();
    let coloured = |text: &str| text.contains("\x1b[");
    assert!(coloured(
        &agent.run(["nic", "list", "--color", "always"]).stdout
    ));
    let on_terminal = |words: &[&str], no_color: &str| {
        let mut command = agent.clearway(words);
        command.env("NO_COLOR", no_color);
        let ran = crate::run::run_on_terminal(&command, "");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains("web-1/eth0"), "{ran:?}");
        coloured(&ran.stdout)
    };
    assert!(on_terminal(&["nic", "list"], ""));
    assert!(!on_terminal(&["nic", "list"], "1"));
    assert!(!on_terminal(&["nic", "list", "--color", "never"], ""));
}
