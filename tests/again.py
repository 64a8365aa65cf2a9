"""Which system tests earn a second run, under the sanitizers (pytest --again): the rule, and the table that follows it.

The sanitizers watch the program's use of memory. A test earns them that brings in input of others (replies, files and trees
that people or enemies changed, bundles, envelopes, clients, servers, auditors), or that ends a process in the middle of its
work, or lets an operation fail. A test that asks for words, listings, moments, CPU time or the build, or that repeats a
plain task many times, walks the same lines, and runs once, without sanitizers. So does a test whose input a unit test or a
fuzzer brings to the same lines under the sanitizers.
"""

WHOLE = set(
    """
    test_bad_input test_bundle test_context test_descriptors test_diary test_envelope_listings test_full_disk test_gateway
    test_hand_edits test_hostile_tree test_keep test_people_git
    """.split()
)

# The tests of other modules, by what their names begin with.
SOME = {
    "test_ahead": "an_answer_that_two_workers a_question_that_was_asked_ahead_is_taken_back",
    "test_audit": "a_checker_that_fails a_fork_bomb a_killed_ a_persons_edit one_that_does_not_read the_program "
    "a_models_verdict a_provider_that_fails what_made_room three_divergences",
    "test_budget": "a_damaged_ledger a_person_who where_the_ledger the_budget_outlives",
    "test_cli": "verify_finds an_answer_that_makes_no_sense a_terminal_is_never "
    "a_task_that_can_be_no a_result_that_cannot demo_shows check_ help_and version_names status_shows",
    "test_days": "a_worker_that_keeps_ending",
    "test_events": "a_reader_that_never_reads the_death_of a_reload the_text it_ends",
    "test_hibernation": "the_task_verb",
    "test_house": "json_logs",
    "test_http": "a_body a_client_that_drips a_killed garbage requests_in_a_row restarts_streaks what_is_not_there "
    "the_metrics metrics_need a_supervisor_that",
    "test_http_v1": "a_wrong_body a_body_that one_idempotency a_pending messages_and events_come an_id_of a_client_of",
    "test_kills": "kills_at_random deaths sigterm_abandons a_task_that",
    "test_locks": "a_file_that_is_no_lock names_of_locks a_lock_is_free a_cancelled_waiter a_holder_that_outlives",
    "test_mail": "a_file_ a_handoff_ a_lock_whose a_refusal a_stopped an_envelope cancelling git_tracks what_is_no messages_are",
    "test_orders": "a_killed_workers one_who_waits opposite an_order_that_can_not",
    "test_people": "a_persons_commit_and_gc an_edit_is_committed a_person_removes an_edit_while a_stale_index_lock",
    "test_post_promises": "promise_1_a_refused promise_1_what_took promise_2 promise_4_a_flood promise_4_the_op promise_7 "
    "promise_5_a_dead promise_5_what_expired people_may who_copies a_chain",
    "test_provider": "a_reply_that_never what_is_malformed a_whole a_provider",
    "test_queue_live": "an_editor a_malformed a_block_that_lacks crlf noise what_was_meant tasks_are_found",
    "test_queues": "what_is_no_item one_of_two on_a_full_disk files_that_people after_max_attempts a_reload",
    "test_rollback": "a_file_that_somebody what_names_no a_pruned_skill a_goal_that a_rollback_is_rolled agents_that a_task_in_hand",
    "test_schedule": "of_many what_a_person damage_in kills_at_any a_queue_that",
    "test_segments": "a_persons_edit writes_survive who_is_no a_stale_write",
    "test_watchdog": "a_task_that_outlives_task_seconds_three",
}

# Of these a part, and no more, by a piece of the name.
NOT = {
    "test_audit": ["costs_only_its_own_result[ignores signals]"],
    "test_bundle": [  # the tests import files that the program itself has exported
        "it_is_one_git_bundle", "no_key_is_in_it", "comments_and_layout", "a_file_that_is_there",
        "an_empty_data_directory", "the_definition_comes", "what_root_imports",
    ],
    "test_gateway": ["an_idle_gateway", "two_hundred_agents", "a_hundred_agents"],
    "test_hand_edits": ["five_megabytes_in_one", "a_date_in_the_future", "a_future_date"],
    "test_hostile_tree": ["running]"],  # the same finds as in the looks while the agent is stopped
}


def earns_it(module, name):
    mine = name.removeprefix("test_").startswith(tuple(SOME.get(module, "-").split()))
    return (module in WHOLE or mine) and not any(piece in name for piece in NOT.get(module, ()))
