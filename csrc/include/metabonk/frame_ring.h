/* The frame ring in memory: one writer, many readers, the newest frame wins. Plain C99: the layout
 * that every client shares, whatever it is written in. Knows bytes and offsets; what may be done to
 * them in which order is in docs/frame_ring.md, and in C++ in csrc/ipc/ring_protocol.h.
 *
 * A ring is one file, "metabonk-ring-NAME" in a folder of shared memory (/dev/shm), mode 0600:
 *
 *   header | reader_count readers | slot_count slots | zeros up to pixels_offset | slot_count
 * pixels
 *
 * The pixels of slot i begin at pixels_offset + i * pixels_stride; both are multiples of
 * METABONK_RING_PAGE. Everything is little-endian and aligned to its size. Words marked (atomic)
 * are read and written by several processes at once, whole, with the order that the protocol asks
 * for; everything else is written before it is published and read only under a lease.
 *
 * Two clocks never meet here: a time is the writer's, a heartbeat is a counter that its observer
 * times by a clock of its own. No process id is stored: they mean nothing across containers. */
#ifndef METABONK_FRAME_RING_H_
#define METABONK_FRAME_RING_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define METABONK_RING_MAGIC UINT64_C(0x32474E49524B424D) /* the bytes "MBKRING2" */
#define METABONK_RING_VERSION 2u
#define METABONK_RING_PREFIX "metabonk-ring-"
#define METABONK_RING_NAME_MAX 64 /* of [A-Za-z0-9._-], the first one a letter or digit */
#define METABONK_RING_PAGE 4096u

#define METABONK_RING_SLOTS_MAX 128u
#define METABONK_RING_READERS_MAX 16u
#define METABONK_RING_LEASES_MAX 6u
#define METABONK_RING_SIDE_MAX 16384u                /* pixels of a width or height */
#define METABONK_RING_BYTES_MAX UINT64_C(0x40000000) /* of a frame: 1 GiB */

/* A heartbeat goes up every PERIOD; one that stood still for TIMEOUT is silence. Both are what an
 * observer may rely on: a client may beat more often. Together below a tenth of a second. */
#define METABONK_RING_BEAT_PERIOD_MS 10
#define METABONK_RING_BEAT_TIMEOUT_MS 60

/* metabonk_ring_header.flags: what this writer does. */
enum {
  METABONK_RING_WRITER_WAKES = 1, /* calls futex(FUTEX_WAKE) on the doorbell; else readers poll */
  METABONK_RING_WRITER_LOCKS = 2  /* holds an open-file-description lock on byte 0 while it lives */
};

/* metabonk_ring_header.state */
enum {
  METABONK_RING_OPEN = 1,
  METABONK_RING_CLOSED = 2,   /* by its writer, for good; the name is gone */
  METABONK_RING_REPLACED = 3, /* by its writer, for one of another size: open the name again */
  METABONK_RING_RECLAIMED = 4 /* by somebody else, whose writer was dead or silent */
};

/* metabonk_ring_slot.format: one byte per channel unless said otherwise. */
enum {
  METABONK_RING_RGB8 = 1,  /* 3 channels */
  METABONK_RING_RGBA8 = 2, /* 4 channels */
  METABONK_RING_BGRA8 = 3, /* 4 channels */
  METABONK_RING_GREY8 = 4, /* 1 channel */
  METABONK_RING_JPEG = 16, /* `bytes` of a JPEG of width x height; row_stride is 0 */
  METABONK_RING_BYTES = 17 /* `bytes` of anything; width, height, channels, row_stride are 0 */
};

/* metabonk_ring_slot.row_order */
enum {
  METABONK_RING_TOP_DOWN = 0,
  METABONK_RING_BOTTOM_UP = 1 /* the first row in memory is the lowest of the picture */
};

/* metabonk_ring_reader.flags: what this reader does. */
enum {
  METABONK_RING_READER_LOCKS = 1 /* holds a lock on byte 1 + its index while it lives */
};

/* 256 bytes. The first line never changes once magic is set, which is stored last. */
typedef struct metabonk_ring_header {
  uint64_t magic;         /* 0: not ready */
  uint32_t version;       /* METABONK_RING_VERSION */
  uint32_t header_bytes;  /* sizeof(metabonk_ring_header): the ABI's size */
  uint64_t session;       /* random, never 0: another writer or another size is another one */
  uint64_t total_bytes;   /* of the file */
  uint32_t slot_count;    /* >= 3 + reader_count * lease_count, so that a slot is always free */
  uint32_t reader_count;  /* entries of the table of readers */
  uint32_t lease_count;   /* leases that each of them may hold at once */
  uint32_t flags;         /* METABONK_RING_WRITER_* */
  uint64_t pixels_offset; /* of slot 0 from the beginning of the file */
  uint64_t pixels_stride; /* from one slot's pixels to the next one's: what a frame may have */

  /* The newest frame: its number << 8 | its slot; 0 before the first (atomic). */
  uint64_t newest;
  uint32_t doorbell; /* low half of the frame's number << 1 | somebody sleeps; a futex (atomic) */
  uint32_t state;    /* METABONK_RING_OPEN ... (atomic) */
  /* Number of the frame whose last bytes are being written << 16 | the processor that writes them:
   * it will be there within microseconds; a hint that nothing depends on (atomic). */
  uint64_t coming;
  /* 1 + the processor of the reader that went to sleep last, 0 of none: a hint too (atomic). */
  uint32_t sleeper;
  uint8_t pad1[36];

  uint64_t beat; /* the writer's heartbeat, a counter (atomic) */
  uint8_t pad2[56];

  uint8_t pad3[64];
} metabonk_ring_header;

/* 64 bytes: one reader, which alone takes its leases. */
typedef struct metabonk_ring_reader {
  /* Odd: taken, by the reader that made it so; even: free. Only ever goes up by one, so that who
   * comes later has the later token (atomic). */
  uint32_t token;
  uint32_t flags; /* METABONK_RING_READER_* (atomic) */
  uint64_t beat;  /* its heartbeat, a counter (atomic) */
  /* token << 32 | 1 + slot while the slot is held, else the low half is 0 (atomic). */
  uint64_t leases[METABONK_RING_LEASES_MAX];
} metabonk_ring_reader;

/* 128 bytes: what is known of the frame in a slot. */
typedef struct metabonk_ring_slot {
  uint64_t sequence;   /* 2 * the frame's number, + 1 while it is being written (atomic) */
  uint64_t step;       /* the game's own count */
  uint64_t capture_ns; /* when the picture was taken, by the writer's monotonic clock */
  uint64_t bytes;      /* of pixels, from the beginning of the slot's; <= pixels_stride */
  uint32_t width;
  uint32_t height;
  uint32_t channels;
  uint32_t row_stride; /* bytes from one row to the next */
  uint32_t format;     /* METABONK_RING_RGB8 ... */
  uint32_t row_order;  /* METABONK_RING_TOP_DOWN ... */
  uint8_t pad[72];
} metabonk_ring_slot;

#ifdef __cplusplus
}

#define METABONK_RING_AT(type, field, offset) \
  static_assert(offsetof(type, field) == (offset), #type "." #field " has moved")
static_assert(sizeof(metabonk_ring_header) == 256);
METABONK_RING_AT(metabonk_ring_header, magic, 0);
METABONK_RING_AT(metabonk_ring_header, version, 8);
METABONK_RING_AT(metabonk_ring_header, header_bytes, 12);
METABONK_RING_AT(metabonk_ring_header, session, 16);
METABONK_RING_AT(metabonk_ring_header, total_bytes, 24);
METABONK_RING_AT(metabonk_ring_header, slot_count, 32);
METABONK_RING_AT(metabonk_ring_header, reader_count, 36);
METABONK_RING_AT(metabonk_ring_header, lease_count, 40);
METABONK_RING_AT(metabonk_ring_header, flags, 44);
METABONK_RING_AT(metabonk_ring_header, pixels_offset, 48);
METABONK_RING_AT(metabonk_ring_header, pixels_stride, 56);
METABONK_RING_AT(metabonk_ring_header, newest, 64);
METABONK_RING_AT(metabonk_ring_header, doorbell, 72);
METABONK_RING_AT(metabonk_ring_header, state, 76);
METABONK_RING_AT(metabonk_ring_header, coming, 80);
METABONK_RING_AT(metabonk_ring_header, sleeper, 88);
METABONK_RING_AT(metabonk_ring_header, beat, 128);
static_assert(sizeof(metabonk_ring_reader) == 64);
METABONK_RING_AT(metabonk_ring_reader, token, 0);
METABONK_RING_AT(metabonk_ring_reader, flags, 4);
METABONK_RING_AT(metabonk_ring_reader, beat, 8);
METABONK_RING_AT(metabonk_ring_reader, leases, 16);
static_assert(sizeof(metabonk_ring_slot) == 128);
METABONK_RING_AT(metabonk_ring_slot, sequence, 0);
METABONK_RING_AT(metabonk_ring_slot, step, 8);
METABONK_RING_AT(metabonk_ring_slot, capture_ns, 16);
METABONK_RING_AT(metabonk_ring_slot, bytes, 24);
METABONK_RING_AT(metabonk_ring_slot, width, 32);
METABONK_RING_AT(metabonk_ring_slot, height, 36);
METABONK_RING_AT(metabonk_ring_slot, channels, 40);
METABONK_RING_AT(metabonk_ring_slot, row_stride, 44);
METABONK_RING_AT(metabonk_ring_slot, format, 48);
METABONK_RING_AT(metabonk_ring_slot, row_order, 52);
#undef METABONK_RING_AT
#endif

#endif /* METABONK_FRAME_RING_H_ */
