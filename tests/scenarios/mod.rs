//! The contract: one file per behaviour, one function per promise.
//!
//! A function that [`scenarios!`](macro@crate::scenarios) does not list is dead code to the
//! compiler.

use crate::target::{Scenario, Target};

mod shares;
mod rewrites;
mod versions;
mod merges;
mod targets;
mod routing;
mod conditions;
mod inspection;
mod services;
mod globals;
mod sticky;
mod cookies;
mod overrides;
mod proof;
mod problems;
mod faults;
mod statuses;
mod methods;
mod headers;
mod forwarding;
mod hops;
mod bodies;
mod streams;
mod connections;
mod upgrades;
mod timeouts;
mod balancing;
mod retries;
mod failover;
mod breakers;
mod addresses;
mod uploads;
mod request_ids;
mod cors;
mod limits;
mod authentication;
mod health;
mod mirrors;
mod changes;
mod tokens;
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
            versions {
                patterns_make_new_paths
                arguments_are_set_and_removed
                a_branch_can_ask_with_another_method
                a_branch_can_make_a_get_of_a_post
                values_can_be_made_of_the_request
                values_stay_where_they_are_put
                headers_of_responses_are_set_added_and_removed
                a_branch_can_ask_for_another_host
                values_can_be_made_of_the_body
            }
            merges {
                members_that_are_not_named_stay_as_written
                objects_are_merged_and_null_removes
                lengths_are_those_of_the_new_body
                other_branches_leave_bodies_alone
                a_request_without_a_body_stays_without
                a_body_that_is_not_json_is_refused
                a_body_too_long_to_be_changed_is_a_413_problem
                a_body_can_decide_and_be_changed
                no_writing_of_a_member_gets_around_the_branch
                bodies_nested_without_end_harm_nobody
                a_body_can_have_the_key_and_be_changed
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
                variables_decide_among_routes
                bodies_decide_among_routes
                addresses_decide_among_routes
                parameters_of_a_path_have_names
                parameters_of_a_path_make_new_ones
                colons_are_plain_without_that_router
            }
            conditions {
                the_first_rule_that_takes_a_request_decides
                one_group_must_hold_as_a_whole
                what_no_rule_takes_is_the_routes_own
                without_an_upstream_of_the_route_it_is_a_503_problem
                rules_with_the_same_condition_are_one_split
                every_rule_is_exact_by_itself
                a_filter_says_for_whom_a_split_acts
                conditions_ask_for_every_part_of_the_head
                operators_compare_as_in_apisix
                a_faulty_condition_is_never_served
            }
            inspection {
                members_of_a_json_body_decide
                fields_of_a_form_decide
                graphql_operations_decide
                what_was_looked_at_arrives_byte_for_byte
                a_request_without_a_body_gets_none
                a_body_too_long_to_be_looked_at_is_a_413_problem
                a_mebibyte_is_looked_at
                other_routes_take_bodies_of_any_length
                other_routes_forward_bodies_as_they_come
                a_request_that_is_looked_at_is_counted_once
                requests_looked_at_by_many_at_once_are_counted_once
                a_body_with_a_key_arrives_byte_for_byte
                a_compressed_body_is_not_understood
                bodies_nested_without_end_harm_nobody
                members_decide_beside_what_cannot_be_held
            }
            services {
                a_route_has_from_its_service_what_it_does_not_say
                a_plugin_is_taken_whole_from_the_nearest
                a_route_of_a_service_that_is_gone_is_a_503_problem
            }
            globals {
                global_rewrites_come_first
                global_splits_serve_what_no_rule_of_a_route_takes
                global_rules_can_be_switched_off_by_themselves_only
                plugins_are_taken_one_by_one_from_the_nearest
                a_split_sees_the_rewritten_request
                rewrites_can_ask_for_the_body
            }
            sticky {
                a_key_stays_on_its_branch
                a_key_can_stand_in_many_places
                the_first_place_with_a_key_decides
                without_a_consumer_the_next_place_decides
                an_address_is_a_key
                without_a_key_shares_are_exact
                a_growing_share_only_takes_keys
                a_new_branch_only_takes_keys
                weight_0_has_no_keys
                salts_tell_assignments_apart
                keys_do_not_disturb_exact_shares
                keys_have_the_same_owners_everywhere
                rules_that_are_branches_have_keys_together
                numbers_are_keys_by_their_digits
                cookies_may_come_in_several_lines
            }
            cookies {
                a_client_with_a_cookie_of_ours_stays
                a_cookie_that_is_not_of_ours_is_replaced
                the_cookies_of_the_upstream_are_kept
                a_key_goes_before_the_cookie
                without_a_name_for_it_no_cookie_is_set
            }
            overrides {
                whoever_may_chooses_by_name
                nobody_else_chooses_by_name
                without_addresses_nobody_chooses_by_name
                names_of_no_branch_mean_nothing
                without_override_nobody_chooses
                header_and_cookie_have_the_names_they_are_given
                the_upstream_does_not_hear_the_choice
                a_choice_goes_before_a_key
                a_choice_is_among_the_branches_of_one_rule
                whoever_has_a_token_chooses
                a_token_that_does_not_count_means_nothing
                a_changed_token_means_nothing
                tokens_are_taken_where_it_is_said
                choices_do_not_disturb_exact_shares
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
            faults {
                a_connection_that_breaks_before_the_head_is_a_502_problem
                a_head_that_is_not_sound_is_a_502_problem
                each_way_to_fail_has_its_name
                a_head_that_is_too_long_is_a_502_problem
                tls_that_fails_is_a_502_problem
                each_way_that_tls_fails_has_its_name
                a_node_that_proves_who_it_is_is_called_over_tls
                a_head_that_is_not_there_in_time_is_a_504_problem
                a_slow_answer_is_relayed
                a_body_may_take_longer_than_its_head
                interim_responses_are_not_the_answer
                a_client_that_asks_whether_to_go_on_has_its_answer
                a_body_that_breaks_off_is_seen_to
                a_body_without_its_last_line_is_seen_to_break_off
                a_body_longer_than_it_said_is_no_other_answer
                a_response_with_two_framings_goes_down_with_one
                failures_end_when_they_end
                a_kept_connection_that_breaks_costs_one_request
                an_answer_before_the_body_is_relayed
                an_answer_before_the_body_does_not_wait_for_it
                streams_of_events_are_relayed_as_they_are
                a_stream_of_events_that_breaks_off_says_so
                a_stream_of_events_that_stalls_says_so
                a_compressed_stream_that_breaks_off_is_seen_to
                events_before_a_break_arrive
                events_before_a_stall_arrive
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
                trace_headers_are_passed_on
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
            upgrades {
                frames_pass_both_ways
                a_client_that_leaves_ends_what_it_switched_to
                an_upstream_may_decline
                routes_that_do_not_say_so_do_not_switch
            }
            timeouts {
                the_time_of_the_route_goes_first
                the_first_byte_has_a_time_of_its_own
                a_body_that_stalls_is_cut_off
                comments_keep_a_stream_alive
            }
            balancing {
                the_least_busy_node_is_asked
                the_quicker_node_is_asked_more
                a_spare_node_serves_where_the_first_fails
                a_key_stays_at_its_node
                upstreams_of_branches_lack_nothing
            }
            retries {
                no_retry_begins_too_late
                a_node_of_weight_0_is_not_asked
            }
            failover {
                each_word_sends_on_what_it_stands_for
                all_words_are_meant_where_none_is_said
                no_word_sends_on_anything_else
                whatever_was_never_sent_goes_on
                a_refused_connection_goes_on
                the_other_branch_rewrites_what_the_client_sent
                bodies_go_on_byte_for_byte
                a_body_too_long_to_be_kept_is_sent_once
                nothing_is_executed_twice_that_must_not_be
                so_many_branches_are_tried_as_are_to_be
                others_are_those_with_a_weight
                a_branch_that_was_asked_for_by_name_has_the_last_word
                a_stream_that_was_looked_into_arrives_whole
                a_stream_that_was_looked_into_flows
                a_response_that_is_given_up_is_ended
                another_node_is_asked
                statuses_are_retried_where_it_is_said
                an_upstream_that_asks_for_time_has_it
                retries_have_a_budget
                a_node_that_is_not_there_costs_no_request
                the_answer_to_head_is_no_empty_stream
                a_stream_that_breaks_off_before_its_first_event_goes_on
            }
            limits {
                as_many_pass_in_a_window_as_may
                a_refusal_says_what_it_is_told
                a_sliding_window_remembers_the_last
                a_bucket_holds_up_and_overflows
                as_many_are_under_way_as_may_be
                shared_places_are_given_back
                keys_are_counted_by_themselves
                routes_of_a_group_are_counted_together
                a_request_passes_all_limits
                counts_outlive_a_change
                a_full_branch_leaves_the_rest_to_the_others
                a_branch_that_is_full_for_all_leaves_the_rest_to_the_others
                with_all_branches_full_it_is_a_503_problem
                a_consumer_may_have_a_limit_of_its_own
                forged_addresses_free_nobody
                no_writing_of_a_key_gets_a_fresh_limit
                many_at_once_are_counted_exactly
            }
            authentication {
                a_key_lets_its_consumer_in
                a_key_is_hidden_where_it_was_read
                whoever_shows_nothing_right_can_be_somebody
                a_name_and_its_password_let_in
                hashes_let_in_whoever_has_what_was_hashed
                upstreams_are_told_who_calls_and_never_by_clients
                several_keys_are_none
                guesses_are_all_told_the_same
                a_global_limit_stops_guesses
                consumers_decide_between_rules
                consumers_stay_on_their_branches
                anonymous_requests_are_not_all_of_one_branch
                consumers_bring_limits_of_their_own
                plugins_that_ask_stand_where_others_do
                refusals_say_what_is_asked_for
            }
            breakers {
                a_branch_that_fails_is_left_out
                a_branch_that_does_not_answer_is_left_out
                only_failures_in_a_row_count
                a_branch_that_is_well_again_comes_back
                a_probe_that_fails_leaves_it_out
                one_probe_is_under_way_at_a_time
                weight_0_stays_without_a_share
                failures_that_were_made_good_count
                a_share_of_failures_is_enough
                failures_of_long_ago_do_not_count
                a_branch_can_come_back_slowly
                with_all_branches_out_all_are_tried
                a_node_that_fails_is_left_out
            }
            addresses {
                addresses_pass_by_lists
                a_header_of_a_trusted_proxy_tells_who_calls
                a_header_of_anybody_else_changes_nothing
            }
            uploads {
                a_body_that_is_longer_than_it_may_be_is_a_413_problem
                a_body_that_becomes_too_long_is_cut_off
                limits_of_uploads_add_up
            }
            request_ids {
                every_request_has_a_name
                a_name_that_a_client_brings_is_kept_if_it_is_harmless
                refusals_have_names_too
            }
            cors {
                a_preflight_is_answered_here
                every_answer_says_who_may_read_it
                origins_that_only_look_alike_may_not_read
            }
            health {
                a_node_whose_requests_fail_goes_down
                only_what_is_listed_counts_against_a_node
                with_all_nodes_down_all_are_tried
            }
            mirrors {
                a_copy_is_rewritten_by_itself
                what_becomes_of_a_copy_harms_nobody
                so_many_are_copied_as_are_to_be
                no_more_copies_are_under_way_than_may_be
                copies_can_go_to_a_branch
                copies_can_go_to_a_named_upstream
                every_branch_has_its_copies
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
            tokens {
                tokens_of_every_algorithm_let_their_consumer_in
                the_algorithm_is_not_the_tokens_to_choose
                a_token_without_fault_is_asked_for
                tokens_count_in_their_time
                tokens_stand_in_three_places
                whoever_has_no_token_can_be_somebody
                keys_can_be_published
                invented_keys_do_not_trouble_their_source
                all_wait_for_the_first_keys
                keys_come_for_all_when_who_asked_has_left
                without_keys_it_is_a_503_problem
                keys_are_rotated
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
