//! What COMMAND DOCS tells of the arguments of CLIENT.

use crate::command::row::{one_of, word};
use crate::command::spec::{Arg, ArgKind};

const CLIENT_ID: Arg = Arg::new("client-id", ArgKind::Integer);
const IP_PORT: Arg = Arg::new("addr", ArgKind::String).shown_as("ip:port");

/// CLIENT KILL.
pub const KILL: &[Arg] = &[one_of(
    "filter",
    &[
        Arg::new("old-format", ArgKind::String).shown_as("ip:port"),
        one_of(
            "new-format",
            &[
                CLIENT_ID.behind("ID").since("2.8.12").optional(),
                one_of(
                    "client-type",
                    &[
                        word("normal", "NORMAL"),
                        word("master", "MASTER").since("3.2.0"),
                        word("slave", "SLAVE"),
                        word("replica", "REPLICA").since("5.0.0"),
                        word("pubsub", "PUBSUB"),
                    ],
                )
                .behind("TYPE")
                .since("2.8.12")
                .optional(),
                Arg::new("username", ArgKind::String).behind("USER").optional(),
                IP_PORT.behind("ADDR").optional(),
                Arg { name: "laddr", ..IP_PORT }.behind("LADDR").since("6.2.0").optional(),
                one_of("skipme", &[word("yes", "YES"), word("no", "NO")])
                    .behind("SKIPME")
                    .optional(),
                Arg::new("maxage", ArgKind::Integer).behind("MAXAGE").since("7.4.0").optional(),
            ],
        )
        .multiple(),
    ],
)];

/// CLIENT LIST.
pub const LIST: &[Arg] = &[
    one_of(
        "client-type",
        &[
            word("normal", "NORMAL"),
            word("master", "MASTER"),
            word("replica", "REPLICA"),
            word("pubsub", "PUBSUB"),
        ],
    )
    .behind("TYPE")
    .since("5.0.0")
    .optional(),
    CLIENT_ID.behind("ID").since("6.2.0").optional().multiple(),
];

/// CLIENT NO-EVICT and CLIENT NO-TOUCH.
pub const SWITCH: &[Arg] = &[one_of("enabled", &[word("on", "ON"), word("off", "OFF")])];

/// CLIENT PAUSE.
pub const PAUSE: &[Arg] = &[
    Arg::new("timeout", ArgKind::Integer),
    one_of("mode", &[word("write", "WRITE"), word("all", "ALL")]).since("6.2.0").optional(),
];

/// CLIENT REPLY.
pub const REPLY: &[Arg] =
    &[one_of("action", &[word("on", "ON"), word("off", "OFF"), word("skip", "SKIP")])];

/// CLIENT SETINFO.
pub const SET_INFO: &[Arg] = &[one_of(
    "attr",
    &[
        Arg::new("libname", ArgKind::String).behind("LIB-NAME"),
        Arg::new("libver", ArgKind::String).behind("LIB-VER"),
    ],
)];

/// CLIENT SETNAME.
pub const SET_NAME: &[Arg] = &[Arg::new("connection-name", ArgKind::String)];

/// CLIENT UNBLOCK.
pub const UNBLOCK: &[Arg] = &[
    CLIENT_ID,
    one_of("unblock-type", &[word("timeout", "TIMEOUT"), word("error", "ERROR")]).optional(),
];

/// CLIENT DURABILITY.
pub const DURABILITY: &[Arg] = &[one_of(
    "level",
    &[
        word("always", "ALWAYS"),
        word("everysec", "EVERYSEC"),
        word("no", "NO"),
        word("default", "DEFAULT"),
    ],
)];
