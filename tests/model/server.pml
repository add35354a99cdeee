/* ---- What the server does with a write. ---- */

inline server_progress(k) {
#ifdef CLOCK
    /* Whoever says it: the subject of an old delivery counts like the newest one's. */
    if :: present[k] && pending[k] -> timer[k] = 0 :: else fi;
#endif
    skip
}

/* An object's address has the subject of its result in it. */
inline server_put(k, i) { store[ADDRESS(SUBJECT(k), CONTENT(i))] = true }

/* A subject holds one message, and the writer expects it empty. */
inline server_create(k, kind, i) {
    if
#ifndef NO_CAS
    :: result[SUBJECT(k)] != none   /* Refused. */
#endif
    :: else ->
        result[SUBJECT(k)] = kind;
        winner[SUBJECT(k)] = i;
        result_of[SUBJECT(k)] = hand_in[k];
        newest = SUBJECT(k) + 1;
        accepted[SUBJECT(k)]++;
        HOLDS(one_result, accepted[SUBJECT(k)] <= 1);
        HOLDS(artifacts_in_store, kind != completed || store[ADDRESS(SUBJECT(k), CONTENT(i))]);
        HOLDS(letter_kept, kind != dead || letter[k]);
        HOLDS(highest_epoch, ANSWER == HIGHEST)
    fi
}

inline server_remove(k) {
    if
    :: present[k] ->
        HOLDS(result_before_ack, DURABLE(k) && result_of[SUBJECT(k)] == hand_in[k]);
        present[k] = false; pending[k] = false; exhausted[k] = false; deliveries[k] = 0
    :: else
    fi
}

inline redeliver(k) {
    pending[k] = false;
#ifdef CLOCK
    timer[k] = 0;
#endif
    if
    :: deliveries[k] >= MAX_DELIVER - (LESS_FOR_LATER * k) ->
        exhausted[k] = true;
#ifdef NO_SWEEP
        if :: advisory[k] = true :: skip fi
#endif
    :: else
    fi
}

inline server_publish(k, h) {
    /* A subject of the work stream holds one message as well: handing in twice while it is queued changes nothing. */
    if
    :: present[k]
    :: else -> present[k] = true; published[k] = true; hand_in[k] = h
    fi
}
