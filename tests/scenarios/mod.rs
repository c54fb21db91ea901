//! The contract: one file per behaviour, one function per promise.
//!
//! A function that [`scenarios!`](macro@crate::scenarios) does not list is dead code to the
//! compiler.

use crate::target::{Scenario, Target};

mod shares;
mod rewrites;
mod targets;
mod routing;
mod services;
mod proof;
mod problems;
mod statuses;
mod methods;
mod headers;
mod forwarding;
mod hops;
mod bodies;
mod streams;
mod connections;
mod changes;
mod openai;
pub mod guide;
pub mod vectors;

/// The list of all scenarios, handed to a macro of this crate behind what else it is to be told.
#[macro_export]
macro_rules! scenarios {
    ($callback:ident $($told:tt)*) => {
        $crate::$callback! { [$($told)*]
            shares {
                fifty_fifty_is_exact_and_rewritten
                every_window_of_95_to_5_is_exact
                branches_have_the_names_they_are_given
                weight_0_gets_nothing
                a_branch_may_name_an_upstream
                a_branch_without_upstream_is_the_routes_own
                nodes_share_what_their_branch_gets
                a_request_sent_by_many_at_once_is_counted_once
            }
            rewrites {
                the_query_is_kept
                a_target_that_is_not_rewritten_is_unchanged
                headers_are_set_added_and_removed_by_branch
                the_first_pattern_that_matches_rewrites_the_path
                methods_and_arguments_are_changed_by_branch
                members_are_merged_into_a_json_body
                responses_are_changed_by_branch
            }
            targets {
                odd_targets_mean_the_same_everywhere
                marks_that_should_be_escaped_arrive_as_sent
                marks_that_should_be_escaped_keep_their_meaning
            }
            routing {
                hosts_methods_and_paths_decide
                priority_decides_among_equals
                a_disabled_route_takes_nothing
                the_path_is_matched_decoded_and_forwarded_as_sent
            }
            services {
                a_route_has_from_its_service_what_it_does_not_say
                a_plugin_is_taken_whole_from_the_nearest
                a_route_of_a_service_that_is_gone_is_a_503_problem
            }
            proof {
                every_answer_names_who_served
                proof_can_be_switched_off
                an_upstream_cannot_forge_it
                the_revision_is_a_digest_of_the_text
            }
            problems {
                no_route_is_a_404_problem
                a_refused_connection_is_a_502_problem
                a_connection_closed_before_the_head_is_a_502_problem
                an_answer_that_is_not_http_is_a_502_problem
                a_status_that_cannot_be_relayed_is_a_502_problem
                an_upstream_that_says_nothing_is_a_504_problem
                a_failed_attempt_says_which_way_it_failed
                a_problem_told_to_head_has_no_body
                what_names_an_upstream_that_is_gone_is_a_503_problem
            }
            statuses {
                whatever_the_upstream_answers_is_relayed
                redirects_are_relayed_not_followed
            }
            methods {
                every_method_arrives
                a_method_nobody_registered_arrives
                a_get_with_a_body_keeps_it
                the_answer_to_head_keeps_its_length
            }
            headers {
                authorization_arrives_byte_for_byte
                repeated_headers_stay_apart_on_the_way_up
                repeated_headers_stay_apart_on_the_way_down
                bytes_that_are_not_utf_8_survive_the_way_up
                bytes_that_are_not_utf_8_survive_the_way_down
            }
            forwarding {
                the_upstream_is_told_who_asked
                the_host_is_the_nodes_name
                the_host_can_be_the_clients_or_fixed
            }
            hops {
                hop_by_hop_headers_end_here_on_the_way_up
                hop_by_hop_headers_end_here_on_the_way_down
                headers_that_connection_nominates_end_here_on_the_way_up
                headers_that_connection_nominates_end_here_on_the_way_down
            }
            bodies {
                request_bodies_arrive_byte_for_byte
                response_bodies_arrive_byte_for_byte
                lengths_are_kept_both_ways
                a_compressed_body_is_left_alone
                the_upstream_hears_what_the_client_accepts
                a_response_cut_short_is_seen_to_be
            }
            streams {
                a_response_flows_while_the_upstream_speaks
                a_request_flows_while_the_client_speaks
                a_client_that_leaves_stops_an_upstream_that_speaks
                a_client_that_leaves_cancels_the_upstream
                a_client_that_leaves_before_the_head_cancels_the_upstream
            }
            connections {
                one_connection_serves_many_requests
                an_upstream_may_close_connections_that_are_idle
                a_body_that_nobody_reads_is_not_the_next_request
                a_request_with_two_framings_goes_up_with_one
                a_response_with_two_lengths_is_a_502_problem
                a_request_must_name_one_host
            }
            changes {
                a_new_document_takes_over
                a_faulty_document_changes_nothing
                a_split_stays_exact_while_other_routes_change
            }
            openai {
                completions_arrive_whole_and_streamed
            }
            guide {
                its_split_is_exact
            }
            vectors {
                apisix_and_splitway_agree_or_differ_as_told
                https_nodes_are_called_by_their_names
            }
        }
    };
}

/// Makes a test of every scenario for the target of a program, and one of its skips.
#[macro_export]
macro_rules! contract {
    ([$target:ident] $($file:ident { $($name:ident)* })*) => {
        $(mod $file {
            $(#[test]
            fn $name() {
                let name = concat!(stringify!($file), "::", stringify!($name));
                $crate::target::run::<super::$target>(&$crate::scenarios::all(), name);
            })*
        })*

        #[test]
        fn skips_are_of_scenarios() {
            $crate::target::check_skips::<$target>(&$crate::scenarios::all());
        }
    };
}

/// Makes the list of [`all`].
#[macro_export]
macro_rules! listed {
    ([] $($file:ident { $($name:ident)* })*) => {
        vec![$($((
            concat!(stringify!($file), "::", stringify!($name)),
            $file::$name as fn(&mut T),
        )),*),*]
    };
}

/// All scenarios, by name.
pub fn all<T: Target>() -> Vec<Scenario<T>> {
    scenarios!(listed)
}
