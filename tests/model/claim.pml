/* How nodes in a network share a queue of slots: a model for the checker Spin; README.md beside this file explains it.
 *
 * A message in the work stream stands for one key: a slot at one epoch for one replica. Nodes pull it, render, put
 * artifacts into the store, create the result by compare-and-set and acknowledge last. Any node may crash or sleep between
 * any two steps, the server delivers again what nobody acknowledged, and it takes an old holder's words for a new one's.
 *
 * Two models in one text. With CLOCK, time passes in ticks and a holder counts them since its last confirmed progress.
 * Without, every look at the clock may give either answer: what holds then holds whatever clocks and pauses do.
 *
 * Each broken variant is a macro (-DNO_CAS ...); each property is a variable whose name the checker prints where it fails.
 */
#ifndef KEYS
#define KEYS 2
#endif
#ifndef SUBMITTED
#define SUBMITTED 1         /* Keys in the queue at the start: 1 = epochs of one slot, 2 = two replicas of one epoch. */
#endif
#ifndef CRASHES
#define CRASHES 1           /* Of who takes up exhausted messages and who replays letters. A node may crash at any time. */
#endif
#ifndef FAULTS
#define FAULTS 1            /* Writes whose answer is lost or that arrive after their sender gave up on them. */
#endif
#ifndef MAX_DELIVER
#define MAX_DELIVER 3
#endif
#ifndef CANCELS
#define CANCELS 1           /* Markers set. */
#endif
#ifndef RESUBMITTED
#define RESUBMITTED 1       /* Keys handed in again after their message has gone (a director whose answer was lost). */
#endif
#ifndef EPOCH_RAISED
#define EPOCH_RAISED true   /* The next epoch may be handed in while the first is still under way. */
#endif
#ifndef POISON
#define POISON 2            /* Beyond so many deliveries a holder writes a dead letter and renders nothing. */
#endif
#ifndef LESS_FOR_LATER
#define LESS_FOR_LATER 0    /* Deliveries fewer for the second key, which keeps the search small. */
#endif
#ifndef RECORDS
#define RECORDS true        /* Local records are kept. */
#endif
#define NODES 2
#define NOBODY 255

/* AckWait and the end of a claim at 0.8 of it, in ticks; where a node puts that end is FENCE. */
#define ACK_WAIT 5
#define CLAIM_END 4
#ifndef FENCE
#define FENCE CLAIM_END
#endif
#define OLD (FENCE > CLAIM_END -> FENCE : CLAIM_END)        /* Ages are not counted beyond. */

/* The properties. None is ever set: a failing assertion prints its name. */
bool one_result;           /* At most one result is ever accepted for a key. */
bool result_before_ack;    /* A message leaves the work stream only after the result of its own hand-in is durable. */
bool artifacts_in_store;   /* What a result names is in the store. */
bool record_after_result;  /* A local record ends by what the result says: completed, or superseded by another's. */
bool letter_kept;          /* A slot that ended as dead has its letter, or its next epoch is in the queue. */
bool highest_epoch;        /* Who asks for a slot's result is told that of its highest epoch. */
bool one_holder;           /* Who finds its claim valid is the only holder. */
bool silent_after_claim;   /* After its claim a node writes once more at most: what it had checked before a pause. */
bool every_slot_ends;      /* When nothing can happen any more, every key handed in has its result. */
bool every_record_ends;    /* ... and no local record is open. */

#define HOLDS(property, condition) assert((condition) || property)

mtype = { none, open, closed, expired,                          /* a local record */
          completed, cancelled, dead,                           /* kinds of result */
          progress, put, create_completed, create_cancelled, create_dead, letter_write, ack };     /* writes */

/* The work stream and its consumer. */
bool present[KEYS];               /* The message is in the stream. */
bool pending[KEYS];               /* Delivered, and the timer of AckWait runs. */
#ifdef NO_SWEEP
bool advisory[KEYS];              /* The server said so, and somebody heard it. */
#endif
bool exhausted[KEYS];             /* MAX_DELIVER reached: still in the stream, never delivered again. */
byte deliveries[KEYS];
byte hand_in[KEYS];               /* Which hand-in the message stands for (known to the model only). */
#ifdef CLOCK
byte timer[KEYS];                 /* Ticks since delivery or progress. */
#endif

/* The results stream, the store, the dead letters, the markers of cancelled keys. */
mtype result[KEYS];
byte winner[KEYS], result_of[KEYS], accepted[KEYS];
byte newest;                      /* The key whose result was written last, plus one. */
bool store[KEYS * 2];             /* By key and content. */
bool letter[KEYS];
bool marked[KEYS];
bool published[KEYS];             /* The key was handed in at some time. */
#ifdef LAZY_SYNC
bool synced[KEYS];                /* The result is on disk: later than its answer. */
#define DURABLE(k) (FINISHED(k) && synced[SUBJECT(k)])
#else
#define DURABLE(k) FINISHED(k)
#endif

/* Nodes. */
bool same_bits;                   /* Both nodes render the same bits, or not (another card). */
mtype record[NODES * KEYS];       /* The local journal; survives a crash. */
byte held[NODES];                 /* The key whose claim the node works on. */
mtype late[NODES];                /* A write still on its way though its sender has crashed or given up on it. */
byte late_key[NODES];
#ifdef CLOCK
byte age[NODES];                  /* Ticks since the claim's last confirmed progress was sent; FENCE and more: lost. */
byte sent[NODES];                 /* Ticks since the progress under way was sent. */
byte overdue[NODES];              /* Writes begun after the claim (known to the model only). */
#endif
byte crashes, faults;

#define CONTENT(i) (same_bits -> 0 : i)
#ifdef SHARED_ADDRESS
#define ADDRESS(k, c) (c)         /* By content alone: equal artifacts of two keys are one object. */
#else
#define ADDRESS(k, c) ((k) * 2 + (c))
#endif
#define NAMED(k, c) (result[k] == completed && CONTENT(winner[k]) == (c))
#ifdef SUBJECT_WITHOUT_KEY
#define SUBJECT(k) 0              /* The result's subject names the slot only. */
#else
#define SUBJECT(k) (k)
#endif
#define RECORD(i, k) record[(i) * KEYS + (k)]
#define OPEN(i, k) (RECORD(i, k) == open)
#define FINISHED(k) (result[SUBJECT(k)] != none)
#if KEYS == 1 || SUBMITTED == 2
#define HIGHEST newest
#else
#define HIGHEST (result[1] != none -> 2 : (result[0] != none -> 1 : 0))
#endif
#ifdef NEWEST_RESULT
#define ANSWER newest             /* The last message of all that the slot's subjects hold. */
#else
#define ANSWER HIGHEST
#endif
#define QUEUED(k) (present[k] && !pending[k] && !exhausted[k])
#if KEYS > 1
#define ANY(condition) (condition(0) || condition(1))
#define PICK(k, condition) if :: condition(0) -> k = 0 :: condition(1) -> k = 1 fi
#define SOME_KEY(k) if :: k = 0 :: k = 1 fi
#else
#define ANY(condition) condition(0)
#define PICK(k, condition) condition(0); k = 0
#define SOME_KEY(k) k = 0
#endif

#include "server.pml"
#include "node.pml"
#include "world.pml"

init {
    byte n;
    atomic {
#ifdef GC
        if :: same_bits = true :: same_bits = false fi;
#endif
        for (n : 0 .. SUBMITTED - 1) { present[n] = true; published[n] = true; hand_in[n] = n }
        for (n : 0 .. KEYS - 1) { result[n] = none }
        for (n : 0 .. NODES * KEYS - 1) { record[n] = none }
        for (n : 0 .. NODES - 1) {
            held[n] = NOBODY; late[n] = none;
#ifdef CLOCK
            age[n] = OLD; sent[n] = OLD;
#endif
        }
        n = 0;
        run Node(0); run Node(1);
#ifndef CLOCK
        run Exhausted();
#ifdef GC
        run Gc();
#endif
#endif
#if KEYS > 1 && SUBMITTED == 1
        run Replay();
#endif
        run World()
    }
}
