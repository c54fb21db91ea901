//! The dialogues of the Admin API: one file per subject, one function per promise. They hold on the
//! core in memory, on the server and on the Worker's Durable Object alike.

use crate::control::{Control, Dialogue};

mod resources;
mod lists;
mod patches;
mod removals;
mod holdings;
mod callers;
mod checks;
mod documents;
mod past;
mod explanations;
mod impacts;
pub mod vectors;

/// The list of all dialogues, handed to a macro of this crate behind what else it is to be told.
#[macro_export]
macro_rules! dialogues {
    ($callback:ident $($told:tt)*) => {
        $crate::$callback! { [$($told)*]
            resources {
                a_route_is_made_replaced_read_listed_and_deleted
                every_kind_is_kept_and_listed
                an_id_is_in_the_path_in_the_body_or_the_same_in_both
                a_posted_resource_gets_a_number
                a_trial_of_one_resource_is_refused
                consumers_go_by_their_names_and_have_credentials
                a_body_must_be_there_and_be_an_object_that_fits
                a_broken_body_with_a_key_is_not_repeated
                what_there_is_none_of_is_not_found
                faults_are_told_in_one_line_and_all_of_them_in_a_list
            }
            lists {
                pages_need_both_arguments
                filters_look_at_names_paths_labels_and_references
            }
            patches {
                a_patch_merges_or_sets_what_is_at_a_path
                a_patch_is_checked_as_a_whole
            }
            removals {
                what_is_used_stays_unless_it_is_forced
                a_consumer_takes_its_credentials_along
            }
            holdings {
                what_consumers_hold_is_kept_as_its_hash
                a_key_and_its_hash_are_no_difference
            }
            callers {
                the_key_is_in_the_header_the_query_or_a_cookie
                a_viewer_only_looks
                keys_rotate_without_a_gap
                wrong_keys_have_to_wait
                pages_of_other_origins_change_nothing
            }
            checks {
                schemas_and_plugins_are_told
                resources_and_documents_are_checked_without_writing
            }
            documents {
                a_document_is_replaced_as_a_whole
                of_two_writers_that_expect_one_revision_one_wins
                a_trial_changes_nothing
                a_faulty_document_changes_nothing_and_is_told_whole
                a_number_is_the_same_id_however_it_is_written
                a_document_makes_stay_what_was_to_go
                the_order_of_a_document_is_kept
                a_document_is_written_as_yaml_too
            }
            past {
                every_change_is_a_revision
                two_revisions_are_compared
                a_rollback_is_a_change_of_its_own
            }
            explanations {
                a_request_is_explained_by_the_document_there_is
                what_cannot_be_understood_is_told_with_its_places
                a_viewer_may_ask_what_would_become_of_a_request
                tokens_are_checked_with_what_the_server_signs_with
            }
            impacts {
                who_would_move_is_told_and_nobody_moves
                keys_that_are_named_are_told_of_one_by_one
                a_change_is_told_in_any_of_its_forms
                what_could_not_be_changed_is_refused_as_the_change_would_be
                resources_are_written_at_one_revision_only
            }
            vectors {
                resources_are_taken_or_refused_as_by_apisix
                apisix_and_splitway_agree_or_differ_as_told
            }
        }
    };
}

/// Makes a test of every dialogue for the environment of a program.
#[macro_export]
macro_rules! held {
    ([$target:ident] $($file:ident { $($name:ident)* })*) => {
        mod dialogues {
            $(mod $file {
                $(#[test]
                fn $name() {
                    let name = concat!(stringify!($file), "::", stringify!($name));
                    $crate::control::run::<super::super::$target>(&$crate::dialogues::all(), name);
                })*
            })*
        }
    };
}

/// Makes the list of [`all`].
#[macro_export]
macro_rules! dialogues_listed {
    ([] $($file:ident { $($name:ident)* })*) => {
        vec![$($((
            concat!(stringify!($file), "::", stringify!($name)),
            $file::$name as fn(&mut T),
        )),*),*]
    };
}

/// All dialogues, by name.
pub fn all<T: Control>() -> Vec<Dialogue<T>> {
    dialogues!(dialogues_listed)
}

/// A route without faults.
fn route(uri: &str) -> serde_json::Value {
    let upstream = serde_json::json!({"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"});
    serde_json::json!({"uri": uri, "upstream": upstream})
}

/// A value with a member more.
fn with(mut value: serde_json::Value, key: &str, member: serde_json::Value) -> serde_json::Value {
    value[key] = member;
    value
}
