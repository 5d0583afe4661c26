/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * libddi: verified Linux disk images (GPT, dm-verity, signatures, image policy), without root and without mounting.
 *
 *     ddi_trust *trust = ddi_trust_new();
 *     ddi_image *image = NULL;
 *     ddi_error *error = NULL;
 *     if (ddi_trust_certificates(trust, "/usr/share/vendor.crt", &error) != DDI_OK ||
 *         ddi_image_open("update.raw", trust, &image, &error) != DDI_OK ||
 *         ddi_image_verify(image, NULL, NULL, NULL, &error) != DDI_OK)
 *         fprintf(stderr, "%s\\n", ddi_error_message(error));
 *     ddi_free(image);
 *     ddi_free(trust);
 *     ddi_free(error);
 *
 * Answers. A function that can fail returns DDI_OK (0), and nothing but 0 is a yes. Otherwise *error, unless error is NULL, is the
 * reason, which the caller owns. On success it is NULL, and so is what a call without an answer would have given.
 *
 * Who owns what. Whatever comes out through a pointer to a pointer, or from ddi_trust_new(), is the caller's and is freed with
 * ddi_free(), in any order. What a function returns as const belongs to its argument, or to the library. Arguments are copied or
 * used during the call only; exceptions are said. NULL where something is needed is an error with the code "null-argument".
 * A handle of another type is one with the code "wrong-handle". Anything else that is no pointer of the right kind, or was freed, is
 * as wrong as it is with free(3).
 *
 * Threads. Each handle may be used by several threads at once, but for ddi_free(). No call changes an image. The calls that
 * read every block have threads of their own, which end soon after them; a process may fork() between calls.
 *
 * Functions of the caller are called during a call, or as they say, and must not unwind: no C++ exception, no longjmp().
 * A fault of the library (a Rust panic) ends the call with DDI_ERROR and the code "panic", and no process; memory that runs out
 * does end it. Nothing looks at the environment, at the locale, or changes either.
 *
 * JSON. Documents are those of the command ddi with --json: docs/json.md and docs/schema of the project. They are UTF-8. Text
 * from an image is in them as it is, except for what JSON escapes: what goes to a terminal has to be escaped.
 */

#ifndef DDI_H
#define DDI_H

#include <stddef.h>
#include <stdint.h>
#if defined(__GNUC__)
#define DDI_NODISCARD __attribute__((warn_unused_result))
#else
#define DDI_NODISCARD
#endif

/**
 * Yes: the call did what it is for.
 */
#define DDI_OK 0

/**
 * No: not proven, broken, or forbidden.
 */
#define DDI_REFUSED 1

/**
 * It could not be told: wrong arguments, a file that cannot be read, no such file, cancelled.
 */
#define DDI_ERROR 2

/**
 * Every block matches, and nobody who is trusted vouches for it.
 */
#define DDI_UNVOUCHED 3

/**
 * Lists all that is below a directory, and not only what is in it.
 */
#define DDI_LIST_RECURSIVE 1

/**
 * Why there is no answer, or why it is not yes.
 */
typedef struct ddi_error ddi_error;

/**
 * An image, and whom the caller trusts.
 */
typedef struct ddi_image ddi_image;

/**
 * The protected bytes of a partition, each proven when it is read.
 */
typedef struct ddi_partition ddi_partition;

/**
 * Whom the caller trusts, and what it demands. An image takes a copy of it when it is opened.
 */
typedef struct ddi_trust ddi_trust;

/**
 * Reads `size` bytes at `offset` of an image into `buffer`: 0 if all were read, else an errno. It is called from several
 * threads at once, and for no byte behind the size that was given.
 */
typedef int (*ddi_pread_fn)(void *context, void *buffer, size_t size, uint64_t offset);

/**
 * The context of a `ddi_pread_fn` is not used any more. Called once, from any thread.
 */
typedef void (*ddi_release_fn)(void *context);

/**
 * Told how many bytes of how many are done, every few MiB, from any thread, never twice at once: 0 goes on, anything else
 * cancels, and then the call ends with `DDI_ERROR` and the code `cancelled`, also if it was too late to stop.
 */
typedef int (*ddi_progress_fn)(void *context, uint64_t done, uint64_t total);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as "0.1.0". Not to be freed.
 */
const char *ddi_version(void);

/**
 * Frees any handle, text or bytes that this library gave. NULL is fine.
 */
void ddi_free(void *pointer);

/**
 * A short name for programs, which stays the same from release to release, such as "policy-unknown-flag". Belongs to the error.
 * "" for NULL.
 */
const char *ddi_error_code(const ddi_error *error);

/**
 * What went wrong, for people, in English: fit for a terminal, whatever the image says. Belongs to the error. "" for NULL.
 */
const char *ddi_error_message(const ddi_error *error);

/**
 * The byte of the image at fault; -1 if it is not known.
 */
int64_t ddi_error_offset(const ddi_error *error);

/**
 * The document ddi.error/1. Belongs to the error. "" for NULL.
 */
const char *ddi_error_json(const ddi_error *error);

/**
 * Trust in nobody: to be added to. One thread at a time adds to it. NULL only if there is no memory.
 */
ddi_trust *ddi_trust_new(void);

/**
 * Trusts a root hash, in hexadecimal, for `role`: "root" or "usr". It replaces one for the same role. It must come from a place
 * that whoever made the image cannot write to.
 */
DDI_NODISCARD
int ddi_trust_root_hash(ddi_trust *trust,
                        const char *role,
                        const char *root_hash,
                        ddi_error **error);

/**
 * Trusts that the data protected for `role` have this many bytes. Then they need not be recognised as a file system.
 */
DDI_NODISCARD
int ddi_trust_data_size(ddi_trust *trust,
                        const char *role,
                        uint64_t bytes,
                        ddi_error **error);

/**
 * Trusts whatever was signed with the key of the certificate in this file (PEM or DER), or of any certificate in the `*.crt` of
 * this folder.
 */
DDI_NODISCARD
int ddi_trust_certificates(ddi_trust *trust,
                           const char *file_or_folder,
                           ddi_error **error);

/**
 * Trusts the certificates in the folders in which systemd looks for them (`verity.d`). There may be none.
 */
DDI_NODISCARD int ddi_trust_systemd(ddi_trust *trust, ddi_error **error);

/**
 * Demands that the image meets this policy: a name such as "host", or "root=signed+absent:usr=signed+absent:=unused" as in
 * systemd.image-policy(7). `ddi_image_verify` then says yes only if what was proven meets it.
 */
DDI_NODISCARD
int ddi_trust_policy(ddi_trust *trust,
                     const char *policy,
                     ddi_error **error);

/**
 * Allows that `ddi_image_read_file`, `ddi_image_list` and `ddi_image_check` answer by bytes that nobody who is trusted vouches
 * for. Without this they refuse.
 */
DDI_NODISCARD
int ddi_trust_allow_unproven(ddi_trust *trust,
                             ddi_error **error);

/**
 * Opens an image: a regular file or a block device, and what lies beside it (`.roothash`, `.verity`). A compressed one (gzip,
 * xz, zstd) is unpacked to a file without a name in /var/tmp first. `trust` is copied. To be freed with `ddi_free`.
 */
DDI_NODISCARD
int ddi_image_open(const char *file,
                   const ddi_trust *trust,
                   ddi_image **image,
                   ddi_error **error);

/**
 * The same for a file that is open for reading. The descriptor is duplicated and stays the caller's; its position does not
 * matter, and is not kept. Nothing is looked for beside the file.
 */
DDI_NODISCARD
int ddi_image_open_fd(int fd,
                      const ddi_trust *trust,
                      ddi_image **image,
                      ddi_error **error);

/**
 * The same for `size` bytes that a function reads. The context is the library's from the call on, also if it fails: `release`,
 * which may be NULL, is called when nothing reads any more, that is, when the image and all its partitions are freed.
 */
DDI_NODISCARD
int ddi_image_open_callback(ddi_pread_fn pread,
                            void *context,
                            ddi_release_fn release,
                            uint64_t size,
                            const ddi_trust *trust,
                            ddi_image **image,
                            ddi_error **error);

/**
 * What the image is, by few and bounded reads: the document ddi.inspect/1. An image that is broken is an answer too.
 */
DDI_NODISCARD
int ddi_image_report(const ddi_image *image,
                     char **json,
                     ddi_error **error);

/**
 * Reads every protected block. `DDI_OK` only if all of them match a root hash that is trusted or signed by a trusted key, and the
 * policy, if there is one, is met; otherwise `error` says why not. `json`, which may be NULL, is the document ddi.verify/1
 * whenever the blocks were looked at, whatever came of it.
 */
DDI_NODISCARD
int ddi_image_verify(const ddi_image *image,
                     ddi_progress_fn progress,
                     void *context,
                     char **json,
                     ddi_error **error);

/**
 * The files in a directory of the image, or that file: an array of ddi.file/1. `flags`: 0 or `DDI_LIST_RECURSIVE`.
 */
DDI_NODISCARD
int ddi_image_list(const ddi_image *image,
                   const char *directory,
                   uint32_t flags,
                   char **json,
                   ddi_error **error);

/**
 * Whether the image is fit for a purpose: "portable", "extension", "golden" or "boot". `DDI_OK` if it passes, `DDI_REFUSED` if
 * not. `options`, which may be NULL, is a JSON object: for portable {"prefixes": […], "scope": "system" | "user"}; for extension
 * {"hostOsRelease": PATH, "scope": "system" | "initrd" | "portable", "class": "sysext" | "confext"}, of which the first is needed.
 * `json`, which may be NULL, is the document ddi.check/1 whenever there is an answer.
 */
DDI_NODISCARD
int ddi_image_check(const ddi_image *image,
                    const char *check,
                    const char *options,
                    char **json,
                    ddi_error **error);

/**
 * Reads a regular file of the image; links are followed inside of the image, and the path is never one of the host. One larger
 * than `max` bytes is an error. `bytes` are to be freed with `ddi_free`; a NUL, which `size` does not count, follows them.
 */
DDI_NODISCARD
int ddi_image_read_file(const ddi_image *image,
                        const char *file,
                        uint64_t max,
                        void **bytes,
                        size_t *size,
                        ddi_error **error);

/**
 * Opens the data of "root" or "usr" under a root hash that is trusted. It outlives the image that it is of. To be freed with
 * `ddi_free`.
 */
DDI_NODISCARD
int ddi_partition_open(const ddi_image *image,
                       const char *role,
                       ddi_partition **partition,
                       ddi_error **error);

/**
 * How many bytes are protected. 0 for NULL.
 */
uint64_t ddi_partition_size(const ddi_partition *partition);

/**
 * Reads `size` bytes at `offset`, each proven: all of them, or an error and zeros. From several threads at once.
 */
DDI_NODISCARD
int ddi_partition_pread(const ddi_partition *partition,
                        void *buffer,
                        size_t size,
                        uint64_t offset,
                        ddi_error **error);

/**
 * Makes the dm-verity hash tree of a file or block device, with its superblock, as `veritysetup format` does. `hash` is made if it
 * is not there. `options`, which may be NULL, is a JSON object of hashOffset, dataBlocks, dataBlockSize, hashBlockSize, algorithm
 * ("sha256", "sha384", "sha512"), salt (hexadecimal, or "-"), uuid, superblock (true), hashType (1) and threads. `root_hash` is in
 * hexadecimal; `json`, which may be NULL, is the document ddi.verity-tree/1. Both are to be freed with `ddi_free`.
 */
DDI_NODISCARD
int ddi_verity_format(const char *data,
                      const char *hash,
                      const char *options,
                      ddi_progress_fn progress,
                      void *context,
                      char **root_hash,
                      char **json,
                      ddi_error **error);

/**
 * Checks every block of data and tree against a root hash, as `veritysetup verify` does. `DDI_OK` if all match, `DDI_REFUSED` if
 * not. `options` as for `ddi_verity_format`, without uuid; what is unusual (data that go on behind the last block, hash type 0,
 * sha1, blocks over 4096 bytes) is refused unless its option says so. `json`, which may be NULL, is the document
 * ddi.verity-verify/1 or ddi.verity-refused/1 whenever there is an answer.
 */
DDI_NODISCARD
int ddi_verity_verify(const char *data,
                      const char *hash,
                      const char *root_hash,
                      const char *options,
                      ddi_progress_fn progress,
                      void *context,
                      char **json,
                      ddi_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DDI_H */
