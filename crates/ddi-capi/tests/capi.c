/* Every function of libddi, with good, missing, wrong and hostile arguments: capi SAMPLE CERTIFICATE FOLDER.
 * C11 and C++17. FOLDER is scratch; it has what tests/capi.sh puts there. */
#include <assert.h>
#include <ddi.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOT "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb"
#define OTHER "0000000000000000000000000000000011111111111111111111111111111111"

static const char *sample, *certificate, *folder;
static int failures;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            failures++; \
        } \
    } while (0)

/* What a call came to: status and code. Frees the error. */
static void ended(int line, int status, ddi_error *error, int expected, const char *code) {
    const char *found = ddi_error_code(error);
    if (status != expected || strcmp(found, code) != 0 || (error == NULL) != (status == DDI_OK)) {
        fprintf(stderr, "line %d: status %d, %s: %s\n", line, status, found, ddi_error_message(error));
        failures++;
    }
    ddi_free(error);
}

/* The call has `&error` as its last argument. */
#define EXPECT(expected, code, call) \
    do { \
        ddi_error *error = (ddi_error *)(void *)"never read"; \
        int status = (call); \
        ended(__LINE__, status, error, expected, code); \
    } while (0)
#define GOOD(call) EXPECT(DDI_OK, "", call)
#define NOT_GIVEN(call) EXPECT(DDI_ERROR, "null-argument", call)

/* The place of a file in the folder; one at a time. */
static const char *in_folder(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static bool has(const char *json, const char *part) { return json != NULL && strstr(json, part) != NULL; }

static ddi_trust *trusting(const char *role, const char *hash) {
    ddi_trust *trust = ddi_trust_new();
    GOOD(ddi_trust_root_hash(trust, role, hash, &error));
    return trust;
}

static ddi_image *opened(const char *path, ddi_trust *trust) {
    ddi_image *image = NULL;
    GOOD(ddi_image_open(path, trust, &image, &error));
    ddi_free(trust);
    return image;
}

static void versions_and_errors(void) {
    CHECK(strcmp(ddi_version(), "0.1.0") == 0);
    ddi_free(NULL);
    CHECK(strcmp(ddi_error_code(NULL), "") == 0);
    CHECK(strcmp(ddi_error_message(NULL), "") == 0);
    CHECK(strcmp(ddi_error_json(NULL), "") == 0);
    CHECK(ddi_error_offset(NULL) == -1);

    ddi_trust *trust = ddi_trust_new();
    ddi_error *error = NULL;
    CHECK(ddi_trust_policy(trust, "root=signd", &error) == DDI_ERROR);
    CHECK(strcmp(ddi_error_code(error), "policy-unknown-flag") == 0);
    CHECK(strlen(ddi_error_message(error)) > 10);
    CHECK(has(ddi_error_json(error), "\"schema\":\"ddi.error/1\""));
    CHECK(ddi_error_offset(error) == -1);
    ddi_free(error);
    /* a handle of another kind is neither an error nor taken for one */
    CHECK(strcmp(ddi_error_code((const ddi_error *)(void *)trust), "") == 0);
    CHECK(strcmp(ddi_error_message((const ddi_error *)(void *)trust), "") == 0);
    CHECK(strcmp(ddi_error_json((const ddi_error *)(void *)trust), "") == 0);
    CHECK(ddi_error_offset((const ddi_error *)(void *)trust) == -1);
    /* who does not want to know need not */
    CHECK(ddi_trust_policy(trust, "root=signd", NULL) == DDI_ERROR);
    ddi_free(trust);
}

static void trust_is_what_was_given(void) {
    ddi_trust *trust = ddi_trust_new();
    CHECK(trust != NULL);
    NOT_GIVEN(ddi_trust_root_hash(NULL, "root", ROOT, &error));
    NOT_GIVEN(ddi_trust_root_hash(trust, NULL, ROOT, &error));
    NOT_GIVEN(ddi_trust_root_hash(trust, "root", NULL, &error));
    EXPECT(DDI_ERROR, "unknown-role", ddi_trust_root_hash(trust, "home", ROOT, &error));
    EXPECT(DDI_ERROR, "not-utf-8", ddi_trust_root_hash(trust, "\xff", ROOT, &error));
    EXPECT(DDI_ERROR, "usage", ddi_trust_root_hash(trust, "root", "12", &error));
    EXPECT(DDI_ERROR, "usage", ddi_trust_root_hash(trust, "root", "", &error));
    GOOD(ddi_trust_root_hash(trust, "usr", ROOT, &error));

    NOT_GIVEN(ddi_trust_data_size(NULL, "root", 4096, &error));
    NOT_GIVEN(ddi_trust_data_size(trust, NULL, 4096, &error));
    EXPECT(DDI_ERROR, "unknown-role", ddi_trust_data_size(trust, "", 4096, &error));
    GOOD(ddi_trust_data_size(trust, "root", UINT64_MAX, &error));

    NOT_GIVEN(ddi_trust_certificates(NULL, certificate, &error));
    NOT_GIVEN(ddi_trust_certificates(trust, NULL, &error));
    EXPECT(DDI_ERROR, "certificate-io", ddi_trust_certificates(trust, in_folder("absent"), &error));
    EXPECT(DDI_ERROR, "certificate-not-regular", ddi_trust_certificates(trust, in_folder("fifo"), &error));
    EXPECT(DDI_REFUSED, "certificate-none", ddi_trust_certificates(trust, in_folder("garbage"), &error));
    GOOD(ddi_trust_certificates(trust, certificate, &error));
    GOOD(ddi_trust_certificates(trust, folder, &error));

    NOT_GIVEN(ddi_trust_systemd(NULL, &error));
    GOOD(ddi_trust_systemd(trust, &error));

    NOT_GIVEN(ddi_trust_policy(NULL, "host", &error));
    NOT_GIVEN(ddi_trust_policy(trust, NULL, &error));
    GOOD(ddi_trust_policy(trust, "host", &error));
    GOOD(ddi_trust_policy(trust, "root=signed+absent:=unused", &error));

    NOT_GIVEN(ddi_trust_allow_unproven(NULL, &error));
    GOOD(ddi_trust_allow_unproven(trust, &error));

    /* handles are not taken for each other */
    ddi_image *image = opened(sample, trust);
    EXPECT(DDI_ERROR, "wrong-handle", ddi_trust_systemd((ddi_trust *)(void *)image, &error));
    ddi_free(image);
}

static void images_are_opened(void) {
    ddi_trust *trust = ddi_trust_new();
    ddi_image *image = (ddi_image *)(void *)"never read";
    NOT_GIVEN(ddi_image_open(NULL, trust, &image, &error));
    CHECK(image == NULL);
    NOT_GIVEN(ddi_image_open(sample, NULL, &image, &error));
    NOT_GIVEN(ddi_image_open(sample, trust, NULL, &error));
    EXPECT(DDI_ERROR, "io", ddi_image_open(in_folder("absent"), trust, &image, &error));
    EXPECT(DDI_ERROR, "io", ddi_image_open(folder, trust, &image, &error));
    EXPECT(DDI_ERROR, "io", ddi_image_open(in_folder("fifo"), trust, &image, &error));
    EXPECT(DDI_ERROR, "io", ddi_image_open("", trust, &image, &error));
    EXPECT(DDI_REFUSED, "empty-image", ddi_image_open(in_folder("empty"), trust, &image, &error));
    CHECK(image == NULL);
    GOOD(ddi_image_open(in_folder("sample.raw.gz"), trust, &image, &error));
    ddi_free(image);

    EXPECT(DDI_ERROR, "io", ddi_image_open_fd(-1, trust, &image, &error));
    EXPECT(DDI_ERROR, "io", ddi_image_open_fd(1 << 20, trust, &image, &error));
    int fd = open(sample, O_RDONLY | O_CLOEXEC);
    NOT_GIVEN(ddi_image_open_fd(fd, NULL, &image, &error));
    NOT_GIVEN(ddi_image_open_fd(fd, trust, NULL, &error));
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    EXPECT(DDI_ERROR, "io", ddi_image_open_fd(pipes[0], trust, &image, &error));
    close(pipes[0]);
    close(pipes[1]);
    GOOD(ddi_image_open_fd(fd, trust, &image, &error));
    /* it is the caller's as before */
    CHECK(close(fd) == 0);
    char *json = NULL;
    GOOD(ddi_image_report(image, &json, &error));
    CHECK(has(json, "root-verity"));
    ddi_free(json);
    ddi_free(image);
    ddi_free(trust);
}

struct source {
    FILE *file;
    int fail, corrupt, released;
};

static int source_pread(void *context, void *buffer, size_t size, uint64_t offset) {
    struct source *source = (struct source *)context;
    if (source->fail)
        return source->fail;
    if (pread(fileno(source->file), buffer, size, (off_t)offset) != (ssize_t)size)
        return 5;
    ((char *)buffer)[size - 1] ^= (char)source->corrupt;
    return 0;
}

static void source_release(void *context) { ((struct source *)context)->released++; }

static void images_are_read_by_functions(void) {
    struct source source = {fopen(sample, "rb"), 0, 0, 0};
    ddi_trust *trust = trusting("root", ROOT);
    ddi_image *image = NULL;
    fseek(source.file, 0, SEEK_END);
    uint64_t size = (uint64_t)ftell(source.file);
    NOT_GIVEN(ddi_image_open_callback(NULL, &source, source_release, size, trust, &image, &error));
    NOT_GIVEN(ddi_image_open_callback(source_pread, &source, source_release, size, NULL, &image, &error));
    NOT_GIVEN(ddi_image_open_callback(source_pread, &source, source_release, size, trust, NULL, &error));
    EXPECT(DDI_REFUSED, "empty-image", ddi_image_open_callback(source_pread, &source, source_release, 0, trust, &image, &error));
    /* released each time, though no image came of it */
    CHECK(source.released == 4);
    source.fail = 5;
    EXPECT(DDI_ERROR, "io", ddi_image_open_callback(source_pread, &source, source_release, size, trust, &image, &error));
    source.fail = -2147483647 - 1;
    EXPECT(DDI_ERROR, "io", ddi_image_open_callback(source_pread, &source, source_release, size, trust, &image, &error));
    source.fail = 0;
    /* a size that is not true */
    EXPECT(DDI_ERROR, "io", ddi_image_open_callback(source_pread, &source, NULL, UINT64_MAX, trust, &image, &error));
    CHECK(source.released == 6);
    GOOD(ddi_image_open_callback(source_pread, &source, source_release, size, trust, &image, &error));
    GOOD(ddi_image_verify(image, NULL, NULL, NULL, &error));

    /* a partition keeps what it is read from */
    ddi_partition *partition = NULL;
    GOOD(ddi_partition_open(image, "root", &partition, &error));
    ddi_free(image);
    CHECK(source.released == 6);
    char buffer[8192];
    GOOD(ddi_partition_pread(partition, buffer, sizeof buffer, 4096, &error));
    source.fail = 5;
    memset(buffer, 1, sizeof buffer);
    EXPECT(DDI_ERROR, "verity-io", ddi_partition_pread(partition, buffer, sizeof buffer, 40960, &error));
    CHECK(buffer[0] == 0 && buffer[8191] == 0);
    /* storage that changes: nothing of it comes out, not even what is as it was */
    source.fail = 0;
    source.corrupt = 1;
    memset(buffer, 1, sizeof buffer);
    EXPECT(DDI_REFUSED, "verity-block-mismatch", ddi_partition_pread(partition, buffer, sizeof buffer, 40960, &error));
    for (size_t at = 0; at < sizeof buffer; at++)
        CHECK(buffer[at] == 0);
    ddi_free(partition);
    CHECK(source.released == 7);
    fclose(source.file);
    ddi_free(trust);
}

static void reports(void) {
    ddi_image *image = opened(sample, ddi_trust_new());
    char *json = NULL;
    NOT_GIVEN(ddi_image_report(NULL, &json, &error));
    NOT_GIVEN(ddi_image_report(image, NULL, &error));
    GOOD(ddi_image_report(image, &json, &error));
    CHECK(has(json, "\"schema\":\"ddi.inspect/1\"") && has(json, "Sample OS 1.0"));
    char *none = json;
    EXPECT(DDI_ERROR, "wrong-handle", ddi_image_report((ddi_image *)(void *)json, &none, &error));
    CHECK(none == NULL);
    ddi_free(json);
    ddi_free(image);
    /* broken images are an answer */
    image = opened(in_folder("garbage"), ddi_trust_new());
    GOOD(ddi_image_report(image, &json, &error));
    CHECK(has(json, "ddi.inspect/1"));
    ddi_free(json);
    ddi_free(image);
}

static void verifies(void) {
    char *json = NULL;
    ddi_image *image = opened(sample, trusting("root", ROOT));
    NOT_GIVEN(ddi_image_verify(NULL, NULL, NULL, &json, &error));
    GOOD(ddi_image_verify(image, NULL, NULL, &json, &error));
    CHECK(has(json, "\"outcome\":\"trusted-and-proven\"") && has(json, "\"exitStatus\":0"));
    ddi_free(json);
    GOOD(ddi_image_verify(image, NULL, NULL, NULL, &error));
    ddi_free(image);

    image = opened(sample, ddi_trust_new());
    EXPECT(DDI_UNVOUCHED, "intact-unvouched", ddi_image_verify(image, NULL, NULL, &json, &error));
    CHECK(has(json, "\"exitStatus\":3"));
    ddi_free(json);
    ddi_free(image);

    image = opened(sample, trusting("root", OTHER));
    CHECK(ddi_image_verify(image, NULL, NULL, NULL, NULL) == DDI_REFUSED);
    ddi_free(image);
    image = opened(sample, trusting("usr", ROOT));
    CHECK(ddi_image_verify(image, NULL, NULL, NULL, NULL) == DDI_REFUSED);
    ddi_free(image);

    /* by the certificate, and the policy that it meets or does not */
    const char *policies[] = {"root=signed", "root=encrypted", "root=absent"};
    for (int number = 0; number < 3; number++) {
        ddi_trust *trust = ddi_trust_new();
        GOOD(ddi_trust_certificates(trust, certificate, &error));
        GOOD(ddi_trust_policy(trust, policies[number], &error));
        image = opened(sample, trust);
        int status = ddi_image_verify(image, NULL, NULL, &json, NULL);
        CHECK(status == (number == 0 ? DDI_OK : DDI_REFUSED));
        CHECK(has(json, "\"imagePolicy\":{"));
        ddi_free(json);
        ddi_free(image);
    }
    /* a root hash that somebody gives is no signature */
    ddi_trust *trust = trusting("root", ROOT);
    GOOD(ddi_trust_policy(trust, "root=signed", &error));
    image = opened(sample, trust);
    EXPECT(DDI_REFUSED, "policy", ddi_image_verify(image, NULL, NULL, NULL, &error));
    ddi_free(image);

    image = opened(in_folder("damaged.raw"), trusting("root", ROOT));
    CHECK(ddi_image_verify(image, NULL, NULL, &json, NULL) == DDI_REFUSED);
    CHECK(has(json, "\"outcome\":\"not-proven\""));
    ddi_free(json);
    ddi_free(image);
    image = opened(in_folder("garbage"), trusting("root", ROOT));
    CHECK(ddi_image_verify(image, NULL, NULL, NULL, NULL) != DDI_OK);
    ddi_free(image);
    image = opened(in_folder("cut.raw"), trusting("root", ROOT));
    CHECK(ddi_image_verify(image, NULL, NULL, NULL, NULL) != DDI_OK);
    ddi_free(image);
}

static void files_are_read(void) {
    void *bytes = NULL;
    size_t size = 1;
    char *json = NULL;
    ddi_image *image = opened(sample, trusting("root", ROOT));
    NOT_GIVEN(ddi_image_read_file(NULL, "/etc/hostname", 100, &bytes, &size, &error));
    NOT_GIVEN(ddi_image_read_file(image, NULL, 100, &bytes, &size, &error));
    NOT_GIVEN(ddi_image_read_file(image, "/etc/hostname", 100, NULL, &size, &error));
    NOT_GIVEN(ddi_image_read_file(image, "/etc/hostname", 100, &bytes, NULL, &error));
    GOOD(ddi_image_read_file(image, "/etc/os-release", 4096, &bytes, &size, &error));
    CHECK(size > 20 && ((char *)bytes)[size] == 0 && has((char *)bytes, "VERSION_ID=1.0\n"));
    ddi_free(bytes);
    EXPECT(DDI_ERROR, "not-found", ddi_image_read_file(image, "/../../etc/passwd", 4096, &bytes, &size, &error));
    CHECK(bytes == NULL && size == 0);
    EXPECT(DDI_ERROR, "too-large", ddi_image_read_file(image, "/usr/share/doc/numbers", 89999, &bytes, &size, &error));
    GOOD(ddi_image_read_file(image, "/usr/share/doc/numbers", UINT64_MAX, &bytes, &size, &error));
    CHECK(size == 90000);
    ddi_free(bytes);
    EXPECT(DDI_ERROR, "not-a-file", ddi_image_read_file(image, "/usr", 4096, &bytes, &size, &error));
    EXPECT(DDI_ERROR, "not-found", ddi_image_read_file(image, "\xff\xfe", 4096, &bytes, &size, &error));

    NOT_GIVEN(ddi_image_list(NULL, "/", 0, &json, &error));
    NOT_GIVEN(ddi_image_list(image, NULL, 0, &json, &error));
    NOT_GIVEN(ddi_image_list(image, "/", 0, NULL, &error));
    EXPECT(DDI_ERROR, "unknown-flag", ddi_image_list(image, "/", 2, &json, &error));
    EXPECT(DDI_ERROR, "not-found", ddi_image_list(image, "/absent", 0, &json, &error));
    GOOD(ddi_image_list(image, "/etc", 0, &json, &error));
    CHECK(has(json, "\"target\":\"../usr/lib/os-release\"") && has(json, "\"path\":\"hostname\""));
    ddi_free(json);
    GOOD(ddi_image_list(image, "/", DDI_LIST_RECURSIVE, &json, &error));
    CHECK(has(json, "\"path\":\"usr/share/doc/numbers\"") && has(json, "\"assurance\":\"authenticated\""));
    ddi_free(json);
    GOOD(ddi_image_list(image, "/usr/share", DDI_LIST_RECURSIVE, &json, &error));
    CHECK(has(json, "\"path\":\"doc/numbers\""));
    ddi_free(json);
    ddi_free(image);

    /* nobody vouches for it: nothing is told, unless that is allowed */
    image = opened(sample, ddi_trust_new());
    EXPECT(DDI_UNVOUCHED, "not-vouched-for", ddi_image_read_file(image, "/etc/hostname", 100, &bytes, &size, &error));
    EXPECT(DDI_UNVOUCHED, "not-vouched-for", ddi_image_list(image, "/", 0, &json, &error));
    ddi_free(image);
    ddi_trust *trust = ddi_trust_new();
    GOOD(ddi_trust_allow_unproven(trust, &error));
    image = opened(sample, trust);
    GOOD(ddi_image_read_file(image, "/etc/hostname", 100, &bytes, &size, &error));
    CHECK(strcmp((char *)bytes, "sample\n") == 0);
    ddi_free(bytes);
    GOOD(ddi_image_list(image, "/", 0, &json, &error));
    CHECK(has(json, "\"assurance\":\"intact\"") && !has(json, "authenticated"));
    ddi_free(json);
    ddi_free(image);
    /* what does not match does not come out, allowed or not */
    trust = ddi_trust_new();
    GOOD(ddi_trust_allow_unproven(trust, &error));
    image = opened(in_folder("damaged.raw"), trust);
    EXPECT(DDI_REFUSED, "verity-block-mismatch", ddi_image_read_file(image, "/usr/share/doc/numbers", UINT64_MAX, &bytes, &size, &error));
    CHECK(bytes == NULL);
    ddi_free(image);
}

static void checks(void) {
    char *json = NULL;
    ddi_image *image = opened(sample, trusting("root", ROOT));
    NOT_GIVEN(ddi_image_check(NULL, "golden", NULL, &json, &error));
    NOT_GIVEN(ddi_image_check(image, NULL, NULL, &json, &error));
    EXPECT(DDI_ERROR, "unknown-check", ddi_image_check(image, "silver", NULL, &json, &error));
    EXPECT(DDI_ERROR, "options", ddi_image_check(image, "golden", "{\"scope\": \"user\"}", &json, &error));
    EXPECT(DDI_ERROR, "options", ddi_image_check(image, "golden", "[]", &json, &error));
    EXPECT(DDI_ERROR, "options", ddi_image_check(image, "extension", NULL, &json, &error));
    EXPECT(DDI_ERROR, "options", ddi_image_check(image, "portable", "{\"scope\": 7}", &json, &error));
    EXPECT(DDI_ERROR, "not-utf-8", ddi_image_check(image, "golden", "\xff", &json, &error));
    const char *names[] = {"golden", "portable", "boot"};
    for (int number = 0; number < 3; number++) {
        int status = ddi_image_check(image, names[number], NULL, &json, NULL);
        CHECK(status == DDI_OK || status == DDI_REFUSED);
        CHECK(has(json, "\"schema\":\"ddi.check/1\"") && has(json, names[number]));
        CHECK(has(json, status == DDI_OK ? "\"verdict\":\"passed\"" : "\"verdict\":\"failed\""));
        ddi_free(json);
    }
    CHECK(ddi_image_check(image, "portable", "{\"prefixes\": [\"sample\"], \"scope\": \"user\"}", NULL, NULL) == DDI_REFUSED);
    char options[5000];
    snprintf(options, sizeof options, "{\"hostOsRelease\": \"%s\", \"class\": \"sysext\"}", in_folder("os-release"));
    CHECK(ddi_image_check(image, "extension", options, &json, NULL) == DDI_REFUSED);
    CHECK(has(json, "\"check\":\"extension\""));
    ddi_free(json);
    snprintf(options, sizeof options, "{\"hostOsRelease\": \"%s\"}", in_folder("fifo"));
    EXPECT(DDI_ERROR, "io", ddi_image_check(image, "extension", options, NULL, &error));
    ddi_free(image);
    image = opened(in_folder("garbage"), trusting("root", ROOT));
    CHECK(ddi_image_check(image, "golden", NULL, NULL, NULL) != DDI_OK);
    ddi_free(image);
}

struct reading {
    const ddi_partition *partition;
    const unsigned char *whole;
    unsigned seed;
    int wrong;
};

static void *read_at_random(void *context) {
    struct reading *reading = (struct reading *)context;
    uint64_t size = ddi_partition_size(reading->partition);
    unsigned char buffer[9000];
    for (int times = 0; times < 200; times++) {
        uint64_t offset = (uint64_t)rand_r(&reading->seed) % size;
        size_t len = (size_t)rand_r(&reading->seed) % sizeof buffer;
        int status = ddi_partition_pread(reading->partition, buffer, len, offset, NULL);
        bool fits = offset + len <= size;
        reading->wrong += status != (fits ? DDI_OK : DDI_ERROR);
        reading->wrong += fits && memcmp(buffer, reading->whole + offset, len) != 0;
    }
    return NULL;
}

static void partitions(void) {
    ddi_partition *partition = NULL;
    ddi_image *image = opened(sample, trusting("root", ROOT));
    NOT_GIVEN(ddi_partition_open(NULL, "root", &partition, &error));
    NOT_GIVEN(ddi_partition_open(image, NULL, &partition, &error));
    NOT_GIVEN(ddi_partition_open(image, "root", NULL, &error));
    EXPECT(DDI_ERROR, "unknown-role", ddi_partition_open(image, "home", &partition, &error));
    EXPECT(DDI_REFUSED, "unprotected", ddi_partition_open(image, "usr", &partition, &error));
    GOOD(ddi_partition_open(image, "root", &partition, &error));
    ddi_free(image);

    CHECK(ddi_partition_size(NULL) == 0);
    uint64_t size = ddi_partition_size(partition);
    CHECK(size == 23 * 4096);
    unsigned char *whole = (unsigned char *)malloc(size);
    NOT_GIVEN(ddi_partition_pread(NULL, whole, size, 0, &error));
    NOT_GIVEN(ddi_partition_pread(partition, NULL, size, 0, &error));
    GOOD(ddi_partition_pread(partition, whole, size, 0, &error));
    CHECK(memcmp(whole + 1024, "\xe2\xe1\xf5\xe0", 4) == 0);
    GOOD(ddi_partition_pread(partition, NULL, 0, 0, &error));
    GOOD(ddi_partition_pread(partition, whole, 0, size, &error));
    EXPECT(DDI_ERROR, "out-of-range", ddi_partition_pread(partition, whole, 1, size, &error));
    EXPECT(DDI_ERROR, "out-of-range", ddi_partition_pread(partition, whole, 1, UINT64_MAX, &error));
    EXPECT(DDI_ERROR, "out-of-range", ddi_partition_pread(partition, whole, SIZE_MAX, 0, &error));
    GOOD(ddi_partition_pread(partition, whole, size, 0, &error));

    struct reading readings[4];
    pthread_t threads[4];
    for (int number = 0; number < 4; number++) {
        struct reading reading = {partition, whole, (unsigned)number + 1, 0};
        readings[number] = reading;
        CHECK(pthread_create(&threads[number], NULL, read_at_random, &readings[number]) == 0);
    }
    for (int number = 0; number < 4; number++) {
        pthread_join(threads[number], NULL);
        CHECK(readings[number].wrong == 0);
    }
    ddi_free(partition);

    image = opened(in_folder("damaged.raw"), trusting("root", ROOT));
    EXPECT(DDI_REFUSED, "verity-block-mismatch", ddi_partition_open(image, "root", &partition, &error));
    CHECK(partition == NULL);
    ddi_free(image);
    free(whole);
    image = opened(sample, ddi_trust_new());
    EXPECT(DDI_ERROR, "root-hash-unknown", ddi_partition_open(image, "root", &partition, &error));
    CHECK(partition == NULL);
    ddi_free(image);
}

struct told {
    uint64_t done, total;
    int times, stop;
};

static int tell(void *context, uint64_t done, uint64_t total) {
    struct told *told = (struct told *)context;
    CHECK(done >= told->done && done <= total);
    told->done = done;
    told->total = total;
    told->times++;
    return told->stop;
}

static void trees(void) {
    char data[4096], hash[4096];
    snprintf(data, sizeof data, "%s", in_folder("data"));
    snprintf(hash, sizeof hash, "%s", in_folder("hash"));
    const uint64_t size = 12 << 20;
    char *root = NULL, *json = NULL, *again = NULL;
    NOT_GIVEN(ddi_verity_format(NULL, hash, NULL, NULL, NULL, &root, &json, &error));
    NOT_GIVEN(ddi_verity_format(data, NULL, NULL, NULL, NULL, &root, &json, &error));
    NOT_GIVEN(ddi_verity_format(data, hash, NULL, NULL, NULL, NULL, &json, &error));
    EXPECT(DDI_ERROR, "options", ddi_verity_format(data, hash, "{\"algorithm\": \"md5\"}", NULL, NULL, &root, NULL, &error));
    EXPECT(DDI_ERROR, "options", ddi_verity_format(data, hash, "{\"sald\": \"-\"}", NULL, NULL, &root, NULL, &error));
    EXPECT(DDI_ERROR, "options", ddi_verity_format(data, hash, "{\"threads\": -1}", NULL, NULL, &root, NULL, &error));
    EXPECT(DDI_ERROR, "usage", ddi_verity_format(data, hash, "{\"salt\": \"0\"}", NULL, NULL, &root, NULL, &error));
    EXPECT(DDI_ERROR, "same-file", ddi_verity_format(data, data, NULL, NULL, NULL, &root, NULL, &error));
    EXPECT(DDI_ERROR, "io", ddi_verity_format(in_folder("absent"), hash, NULL, NULL, NULL, &root, NULL, &error));
    CHECK(root == NULL && json == NULL);
    struct told told = {0, 0, 0, 0};
    const char *options = "{\"salt\": \"00ff\", \"uuid\": \"01234567-89ab-cdef-0123-456789abcdef\"}";
    GOOD(ddi_verity_format(data, hash, options, tell, &told, &root, &json, &error));
    CHECK(root != NULL && strlen(root) == 64 && told.done == size && told.total == size && told.times > 1);
    CHECK(has(json, "\"schema\":\"ddi.verity-tree/1\"") && has(json, root));
    ddi_free(json);
    struct told stop = {0, 0, 0, 1};
    EXPECT(DDI_ERROR, "cancelled", ddi_verity_format(data, in_folder("hash.cancelled"), NULL, tell, &stop, &again, &json, &error));
    CHECK(again == NULL && json == NULL);

    NOT_GIVEN(ddi_verity_verify(NULL, hash, root, NULL, NULL, NULL, &json, &error));
    NOT_GIVEN(ddi_verity_verify(data, NULL, root, NULL, NULL, NULL, &json, &error));
    NOT_GIVEN(ddi_verity_verify(data, hash, NULL, NULL, NULL, NULL, &json, &error));
    EXPECT(DDI_ERROR, "usage", ddi_verity_verify(data, hash, "xyz", NULL, NULL, NULL, &json, &error));
    struct told seen = {0, 0, 0, 0};
    GOOD(ddi_verity_verify(data, hash, root, NULL, tell, &seen, &json, &error));
    CHECK(has(json, "\"proven\":true") && seen.done == size);
    ddi_free(json);
    GOOD(ddi_verity_verify(data, hash, root, "{\"dataBlocks\": 3072, \"threads\": 1, \"salt\": \"00FF\"}", NULL, NULL, NULL, &error));
    EXPECT(DDI_REFUSED, "parameters-differ", ddi_verity_verify(data, hash, root, "{\"salt\": \"-\"}", NULL, NULL, NULL, &error));
    EXPECT(DDI_REFUSED, "not-proven", ddi_verity_verify(data, hash, OTHER, NULL, NULL, NULL, &json, &error));
    CHECK(has(json, "\"proven\":false"));
    ddi_free(json);
    struct told ended_late = {0, 0, 0, 1};
    EXPECT(DDI_ERROR, "cancelled", ddi_verity_verify(data, hash, root, NULL, tell, &ended_late, &json, &error));
    CHECK(json == NULL);
    EXPECT(DDI_REFUSED, "verity-signature", ddi_verity_verify(data, in_folder("garbage"), root, NULL, NULL, NULL, &json, &error));
    ddi_free(json);
    /* data that go on: refused, unless somebody says how many blocks there are */
    CHECK(ddi_verity_verify(in_folder("data.longer"), hash, root, NULL, NULL, NULL, &json, NULL) == DDI_REFUSED);
    CHECK(has(json, "ddi.verity-refused/1"));
    ddi_free(json);
    GOOD(ddi_verity_verify(in_folder("data.longer"), hash, root, "{\"dataBlocks\": 3072}", NULL, NULL, NULL, &error));
    /* in one file */
    const char *behind = "{\"hashOffset\": 12582912}";
    GOOD(ddi_verity_format(in_folder("both"), in_folder("both"), behind, NULL, NULL, &again, NULL, &error));
    GOOD(ddi_verity_verify(in_folder("both"), in_folder("both"), again, behind, NULL, NULL, NULL, &error));
    ddi_free(again);
    /* without a superblock */
    const char *bare = "{\"superblock\": false, \"salt\": \"00ff\"}";
    GOOD(ddi_verity_format(data, in_folder("hash.bare"), bare, NULL, NULL, &again, NULL, &error));
    CHECK(strcmp(again, root) == 0);
    GOOD(ddi_verity_verify(data, in_folder("hash.bare"), again, bare, NULL, NULL, NULL, &error));
    EXPECT(DDI_ERROR, "options", ddi_verity_verify(data, hash, again, "{\"superblock\": false}", NULL, NULL, NULL, &error));
    ddi_free(again);

    /* an image is told about and cancelled in the same way */
    struct told whole = {0, 0, 0, 1};
    ddi_image *image = opened(sample, trusting("root", ROOT));
    EXPECT(DDI_ERROR, "cancelled", ddi_image_verify(image, tell, &whole, &json, &error));
    ddi_free(image);
    ddi_free(root);
}

/* Waits until the threads that a call had are gone: they end soon after it. */
static bool is_alone(void) {
    for (int times = 0; times < 10000; times++) {
        int tasks = 0;
        DIR *folder = opendir("/proc/self/task");
        while (folder != NULL && readdir(folder) != NULL)
            tasks++;
        if (folder == NULL || closedir(folder) != 0)
            return false;
        if (tasks == 3) /* with . and .. */
            return true;
        usleep(1000);
    }
    return false;
}

/* A process forks between two calls that have threads. */
static void forks(void) {
    char data[4096], hash[4096];
    snprintf(data, sizeof data, "%s", in_folder("data"));
    snprintf(hash, sizeof hash, "%s", in_folder("hash"));
    char *root = NULL;
    GOOD(ddi_verity_format(data, hash, "{\"threads\": 2}", NULL, NULL, &root, NULL, &error));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        int status = ddi_verity_verify(data, hash, root, "{\"threads\": 2}", NULL, NULL, NULL, NULL);
        ddi_free(root);
        _exit(is_alone() ? status : 77);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == DDI_OK);
    CHECK(is_alone());
    ddi_free(root);
}

/* capi --report|--verify IMAGE CERTIFICATE POLICY: the document, to be compared with that of the command. */
static int print(char **argv) {
    char *json = NULL;
    ddi_trust *trust = ddi_trust_new();
    GOOD(ddi_trust_certificates(trust, argv[3], &error));
    GOOD(ddi_trust_policy(trust, argv[4], &error));
    ddi_image *image = opened(argv[2], trust);
    if (strcmp(argv[1], "--report") == 0)
        GOOD(ddi_image_report(image, &json, &error));
    else
        CHECK(ddi_image_verify(image, NULL, NULL, &json, NULL) != DDI_ERROR);
    puts(json);
    ddi_free(json);
    ddi_free(image);
    return failures != 0;
}

int main(int argc, char **argv) {
    if (argc == 5)
        return print(argv);
    assert(argc == 4);
    sample = argv[1];
    certificate = argv[2];
    folder = argv[3];
    versions_and_errors();
    trust_is_what_was_given();
    images_are_opened();
    images_are_read_by_functions();
    reports();
    verifies();
    files_are_read();
    checks();
    partitions();
    trees();
    forks();
    printf("%d failures\n", failures);
    return failures != 0;
}
