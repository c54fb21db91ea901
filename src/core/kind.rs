//! The kinds of resources, with their names in documents, paths and messages.

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// APISIX's `routes`.
    Route,
    /// APISIX's `services`.
    Service,
    /// APISIX's `upstreams`.
    Upstream,
    /// APISIX's `consumers`.
    Consumer,
    /// The credentials of a consumer, which documents list among the consumers.
    Credential,
    /// APISIX's `consumer_groups`.
    ConsumerGroup,
    /// APISIX's `global_rules`.
    GlobalRule,
    /// APISIX's `plugin_configs`.
    PluginConfig,
    /// APISIX's `plugin_metadata`; the id is the plugin's name.
    PluginMetadata,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Route,
        Self::Service,
        Self::Upstream,
        Self::Consumer,
        Self::Credential,
        Self::ConsumerGroup,
        Self::GlobalRule,
        Self::PluginConfig,
        Self::PluginMetadata,
    ];

    /// The list of a document, and the part of a path, that holds this kind.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Service => "services",
            Self::Upstream => "upstreams",
            Self::Consumer => "consumers",
            Self::Credential => "credentials",
            Self::ConsumerGroup => "consumer_groups",
            Self::GlobalRule => "global_rules",
            Self::PluginConfig => "plugin_configs",
            Self::PluginMetadata => "plugin_metadata",
        }
    }

    /// One of this kind, in messages.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Service => "service",
            Self::Upstream => "upstream",
            Self::Consumer => "consumer",
            Self::Credential => "credential",
            Self::ConsumerGroup => "consumer group",
            Self::GlobalRule => "global rule",
            Self::PluginConfig => "plugin config",
            Self::PluginMetadata => "plugin_metadata",
        }
    }

    /// The kind of a list's name.
    pub fn parse(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }
}
