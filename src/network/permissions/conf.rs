//! Permissions as a block of `nats-server.conf`.

use super::Permissions;

/// The block `authorization` with these users. Their passwords are variables of the server's environment; a server whose
/// environment lacks one does not start.
pub fn conf(users: &[Permissions]) -> String {
    let users: String = users.iter().map(entry).collect();
    format!("authorization {{\n  users = [\n{users}  ]\n}}\n")
}

fn entry(user: &Permissions) -> String {
    let Permissions { user, inbox, publish, subscribe } = user;
    let variable = format!("NATS_{}_PASSWORD", user.to_ascii_uppercase().replace('-', "_"));
    format!(
        "    {{\n\
         \x20     # Its client's inbox prefix: {inbox}\n\
         \x20     # Instead of name and password: nkey: \"U...\"\n\
         \x20     user: \"{user}\"\n\
         \x20     password: ${variable}\n\
         \x20     permissions: {{\n\
         {}{}\
         \x20     }}\n\
         \x20   }}\n",
        allowed("publish", publish),
        allowed("subscribe", subscribe)
    )
}

fn allowed(what: &str, subjects: &[String]) -> String {
    // Subjects hold no quotes and no backslashes. Without quotes, $JS would be a variable.
    let lines: String = subjects.iter().map(|subject| format!("          \"{subject}\"\n")).collect();
    format!("        {what}: {{ allow: [\n{lines}        ] }}\n")
}
