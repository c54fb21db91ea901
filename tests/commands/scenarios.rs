//! What the commands do to a server, whatever it is: each takes one whose configuration is empty or
//! of no matter, by a [`Shell`] that knows its URL and its key.

use crate::process::Shell;

/// Two routes and an upstream.
pub(crate) const FIRST: &str = r#"
routes:
  - id: a
    uri: /a
    upstream_id: u
  - id: b
    uri: /b
    upstream_id: u
upstreams:
  - id: u
    nodes: {"127.0.0.1:1": 1}
    pass_host: node
"#;

/// The same with a route changed, one gone and one new.
pub(crate) const SECOND: &str = r#"
routes:
  - id: a
    priority: 5
    uri: /a2
    upstream_id: u
  - id: c
    uri: /c
    upstream_id: u
upstreams:
  - id: u
    nodes: {"127.0.0.1:1": 1}
    pass_host: node
"#;

const DIFFERENCE: &str = "\
~ routes/a
    @@ -1,3 +1,4 @@
     id: a
    +priority: 5
     upstream_id: u
    -uri: /a
    +uri: /a2
+ routes/c
- routes/b
1 to add, 1 to change, 1 to remove
";

/// What that does to traffic.
const TRAFFIC: &str = "
traffic:
  route c is new
  route b is gone
  route a takes other requests
";

const LINES: &str = "\
~ routes/a
+ routes/c
- routes/b
1 to add, 1 to change, 1 to remove
";

/// Makes [`FIRST`] the configuration; returns the revision.
fn begin(shell: &Shell) -> u64 {
    shell.write("first.yaml", FIRST);
    shell.write("second.yaml", SECOND);
    let pushed = shell.run("push first.yaml --yes");
    assert_eq!((pushed.code, &*pushed.stderr), (0, ""), "{pushed:?}");
    shell.run("pull").revision()
}

/// What is pulled is what was pushed, in either format, and pushing it again changes nothing.
pub(crate) fn what_is_pulled_can_be_pushed(shell: &Shell) {
    let revision = begin(shell);
    let told = format!("revision {revision}\n");
    let yaml = shell.run("pull");
    assert_eq!((yaml.code, &yaml.stderr), (0, &told));
    shell.run("pull --output pulled.yaml").check(0, "", &told);
    assert_eq!(shell.read("pulled.yaml"), yaml.stdout);
    shell.run("pull -o pulled.json").check(0, "", &told);
    let json = shell.run("pull --format json");
    assert_eq!(shell.read("pulled.json"), json.stdout);
    assert!(json.stdout.starts_with("{\n  \"routes\": [\n"), "{json:?}");
    for file in ["first.yaml", "pulled.yaml", "pulled.json"] {
        let same = "no differences\n";
        shell.run(&format!("diff {file} --exit-code")).check(0, same, "");
        shell.run(&format!("push {file}")).check(0, same, "");
    }
    assert_eq!(shell.run("pull").revision(), revision);
}

/// A diff names every resource and the lines of those that change, and changes nothing.
pub(crate) fn a_diff_tells_what_would_change(shell: &Shell) {
    let revision = begin(shell);
    let told = format!("{DIFFERENCE}{TRAFFIC}");
    shell.run("diff second.yaml").check(0, &told, "");
    shell.run("diff second.yaml --exit-code").check(1, &told, "");
    shell.run_with("diff -", SECOND).check(0, &told, "");
    let server = shell.url.clone();
    shell.run(&format!("diff {server} second.yaml")).check(0, &told, "");
    shell.run(&format!("diff first.yaml {server} --exit-code")).check(0, "no differences\n", "");
    shell.run("push second.yaml --dry-run").check(0, LINES, "");
    assert_eq!(shell.run("pull").revision(), revision);
}

/// What is pulled has hashes where the file has keys and passwords, and neither differs from the other,
/// between files and servers in any order.
pub(crate) fn a_key_and_its_hash_are_no_difference(shell: &Shell) {
    let plain = "\
consumers:
  - username: jack
    plugins: {key-auth: {key: plain-key}}
  - id: jack/credentials/c1
    plugins: {basic-auth: {username: j, password: plain-password}}
";
    shell.write("plain.yaml", plain);
    assert_eq!(shell.run("push plain.yaml --yes").code, 0);
    shell.run("pull -o pulled.yaml");
    let pulled = shell.read("pulled.yaml");
    assert!(pulled.matches("sha256:").count() == 2 && !pulled.contains("plain-"), "{pulled}");
    let same = "no differences\n";
    let server = shell.url.clone();
    for places in [
        "plain.yaml".to_owned(),
        "pulled.yaml".to_owned(),
        "plain.yaml pulled.yaml".to_owned(),
        "pulled.yaml plain.yaml".to_owned(),
        format!("{server} plain.yaml"),
        format!("plain.yaml {server}"),
    ] {
        shell.run(&format!("diff {places} --exit-code")).check(0, same, "");
    }
    for file in ["plain.yaml", "pulled.yaml"] {
        shell.run(&format!("push {file}")).check(0, same, "");
    }
    shell.write("other.yaml", &plain.replace("plain-key", "plain-other"));
    let other = shell.run("diff other.yaml --exit-code");
    assert!(other.code == 1 && !other.stdout.contains("plain-"), "{other:?}");
}

/// A push that removes something needs a yes; one that does not, does not.
pub(crate) fn nothing_is_removed_without_a_yes(shell: &Shell) {
    let revision = begin(shell);
    let refused = "error: this would remove 1 resource, and there is no terminal to ask at\n\
                   hint: --yes goes on without asking\n";
    shell.run("push second.yaml").check(2, LINES, refused);
    assert_eq!(shell.run("pull").revision(), revision);
    let pushed = shell.run("push second.yaml --yes");
    assert_eq!(pushed.stdout, format!("{LINES}revision {}\n", pushed.revision()));
    assert!(pushed.revision() > revision, "{pushed:?}");
    shell.run("diff second.yaml --exit-code").check(0, "no differences\n", "");
    shell.write(
        "more.yaml",
        &SECOND.replace("upstreams:", "  - {id: d, uri: /d, upstream_id: u}\nupstreams:"),
    );
    assert_eq!(shell.run("push more.yaml").code, 0);
}

/// At a terminal the answer decides.
pub(crate) fn a_terminal_is_asked(shell: &Shell) {
    let revision = begin(shell);
    let question = "Remove 1 resource? [y/N] ";
    for typed in ["n\n", "\n", "\u{4}"] {
        let (code, seen) = shell.run_at_terminal("push second.yaml", typed);
        assert_eq!(code, 1, "{seen}");
        assert!(
            seen.contains(question) && seen.contains("\u{1b}[31m- routes/b\u{1b}[0m"),
            "{seen}"
        );
        assert_eq!(shell.run("pull").revision(), revision);
    }
    let (code, seen) = shell.run_at_terminal("push second.yaml", "y\n");
    assert_eq!(code, 0, "{seen}");
    assert!(shell.run("pull").revision() > revision);
}

/// A push that was meant for another revision changes nothing.
pub(crate) fn a_push_is_for_the_revision_it_was_meant_for(shell: &Shell) {
    let old = begin(shell);
    let now = shell.run(&format!("push second.yaml --yes --if-match {old}")).revision();
    let error = format!(
        "error: somebody changed it since: it is now revision {now}\n\
         hint: look with `splitway diff`\n"
    );
    shell.run(&format!("push first.yaml --yes --if-match {old}")).check(1, "", &error);
    assert_eq!(shell.run("pull").revision(), now);
}

/// Revisions can be listed, shown, compared and gone back to.
pub(crate) fn the_past_can_be_looked_at_and_gone_back_to(shell: &Shell) {
    let first = begin(shell);
    let before = shell.run("pull").stdout;
    let second = shell.run("push second.yaml --yes").revision();

    let list = shell.run("revisions --limit 2").stdout;
    let numbers: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(numbers, ["revision", &*second.to_string(), &*first.to_string()]);
    assert!(list.lines().nth(1).unwrap().ends_with("  ~routes/a -routes/b +routes/c"), "{list}");
    let older = shell.run(&format!("revisions --limit 1 --before {second}")).stdout;
    assert!(older.lines().nth(1).unwrap().starts_with(&first.to_string()), "{older}");

    let shown = shell.run(&format!("revisions show {first}"));
    assert_eq!((shown.code, &shown.stdout), (0, &before));
    assert!(shown.stderr.starts_with(&format!("revision {first}, ")), "{shown:?}");
    shell.run(&format!("revisions diff {first} {second}")).check(0, DIFFERENCE, "");
    shell.run(&format!("revisions diff {first} {second} --exit-code")).check(1, DIFFERENCE, "");
    let same = format!("revisions diff {second} {second} --exit-code");
    shell.run(&same).check(0, "no differences\n", "");

    let back = "~ routes/a\n+ routes/b\n- routes/c\n1 to add, 1 to change, 1 to remove\n";
    shell.run(&format!("rollback {first} --dry-run")).check(0, back, "");
    assert_eq!(shell.run(&format!("rollback {first}")).code, 2);
    assert_eq!(shell.run("pull").revision(), second);
    let third = shell.run(&format!("rollback {first} --yes"));
    third.check(0, &format!("{back}revision {}\n", third.revision()), "");
    assert!(third.revision() > second);
    assert_eq!(shell.run("pull").stdout, before);
}

/// A document with faults changes nothing, and every fault is told.
pub(crate) fn faults_are_told_with_their_places(shell: &Shell) {
    let revision = begin(shell);
    shell.write("faulty.yaml", "routes:\n  - {id: a, upstream_id: u}\n");
    for words in ["diff faulty.yaml", "push faulty.yaml --yes"] {
        let ran = shell.run(words);
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{ran:?}");
        assert!(ran.stderr.starts_with("error: /routes/0"), "{ran:?}");
        assert!(ran.stderr.contains("\nfaulty.yaml: "), "{ran:?}");
    }
    assert_eq!(shell.run("pull").revision(), revision);
}

/// A key is printed once and opens as far as its role goes, until it is removed.
pub(crate) fn keys_open_until_they_are_removed(shell: &Shell) {
    begin(shell);
    let made = shell.run("key add ci");
    made.check(0, &made.stdout, "made the key `ci`, viewer; it is not shown again\n");
    let key = made.stdout.trim_end();
    let is_hex = key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(key.len() == 64 && is_hex && made.stdout.ends_with('\n'), "{made:?}");
    shell.write("ci.key", &made.stdout);

    let listed = shell.run("key list").stdout;
    assert!(
        listed.lines().any(|line| line.starts_with("ci") && line.contains("  viewer  ")),
        "{listed}"
    );
    assert!(!listed.contains(key), "{listed}");
    assert_eq!(shell.run("pull --key-file ci.key").code, 0);
    let viewer = "error: the key of ci.key is a viewer's, which may only read\n\
                  hint: this needs the key of an admin\n";
    shell.run("diff first.yaml --key-file ci.key").check(0, "no differences\n", "");
    shell.run("key remove ci --key-file ci.key").check(2, "", viewer);

    let taken = "error: there is a key `ci` already\nhint: --replace puts another in its place\n";
    shell.run("key add ci --role admin").check(2, "", taken);
    let other = shell.run("key add ci --role admin --replace");
    other.check(0, &other.stdout, "replaced the key `ci`, admin; it is not shown again\n");
    assert_ne!(other.stdout, made.stdout);
    shell.write("ci.key", &other.stdout);
    assert_eq!(shell.run("push first.yaml --key-file ci.key").code, 0);

    shell.run("key remove ci").check(0, "", "removed the key `ci`\n");
    let ran = shell.run("pull --key-file ci.key");
    assert_eq!((ran.code, &*ran.stdout), (2, ""));
    assert!(ran.stderr.contains("does not take the key of ci.key"), "{ran:?}");
    assert!(!ran.stderr.contains(other.stdout.trim_end()), "{ran:?}");
    // What is not there is told as that, not as if something else answered.
    for command in
        ["key remove ci", "revisions show 99", "rollback 99 --yes", "revisions diff 1 99"]
    {
        let missing = shell.run(command);
        assert_eq!((missing.code, &*missing.stdout), (2, ""), "{command}: {missing:?}");
        assert!(!missing.stderr.contains("is not Splitway's API"), "{command}: {missing:?}");
        assert!(missing.stderr.contains("There is no such "), "{command}: {missing:?}");
    }
}

/// A server tells of a request what its document does, and a viewer may ask.
pub(crate) fn a_request_is_explained_as_by_the_document(shell: &Shell) {
    begin(shell);
    let explain = |words: &str| shell.run(&format!("explain {words}"));
    let mut here = explain("--config first.yaml --format json /a").stdout;
    let mut there = explain("--format json /a");
    assert_eq!((there.code, &*there.stderr), (0, ""), "{there:?}");
    // A file has a digest where a server has a number.
    for text in [&mut here, &mut there.stdout] {
        let mut told: serde_json::Value = serde_json::from_str(text).unwrap();
        let revision = told["revision"].take();
        assert_eq!(told["response_headers"]["set"]["x-splitway-revision"].take(), revision);
        *text = told.to_string();
    }
    assert_eq!(here, there.stdout);
    assert_eq!(explain("/none").code, 1);
    let key = shell.run("key add watcher").stdout;
    shell.write("viewer.key", &key);
    let told = explain("--key-file viewer.key -d body /b");
    assert_eq!((told.code, &*told.stderr), (0, ""), "{told:?}");
    assert!(told.stdout.contains("\nroute       b\n"), "{told:?}");
    shell.run("key remove watcher").check(0, "", "removed the key `watcher`\n");
    assert_eq!(explain("--key-file viewer.key /b").code, 2);
}
