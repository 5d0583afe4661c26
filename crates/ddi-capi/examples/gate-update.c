/* Tells whether an image may be installed, and which version it is: gate-update IMAGE CERTIFICATE POLICY, with a policy such as
 * root=signed. The exit status is 0 if it may.
 *
 *     cc gate-update.c $(pkg-config --cflags --libs ddi) -o gate-update
 */
#include <ddi.h>
#include <stdio.h>
#include <string.h>

/* The line of os-release that begins with `key`, printed if nothing in it is for a terminal to obey. */
static int print_line(const char *text, const char *key) {
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        for (const char *at = line; *at != '\0' && *at != '\n'; at++)
            putchar(*at >= ' ' && *at <= '~' ? *at : '?');
        putchar('\n');
        return 0;
    }
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "gate-update IMAGE CERTIFICATE POLICY\n");
        return 2;
    }
    ddi_trust *trust = ddi_trust_new();
    ddi_image *image = NULL;
    ddi_error *error = NULL;
    void *os_release = NULL;
    size_t size = 0;

    int status = ddi_trust_certificates(trust, argv[2], &error);
    if (status == DDI_OK)
        status = ddi_trust_policy(trust, argv[3], &error);
    if (status == DDI_OK)
        status = ddi_image_open(argv[1], trust, &image, &error);
    /* every block, under a root hash that the key of the certificate signed */
    if (status == DDI_OK)
        status = ddi_image_verify(image, NULL, NULL, NULL, &error);
    /* each block is proven again when it is read, so that the image may have changed meanwhile */
    if (status == DDI_OK)
        status = ddi_image_read_file(image, "/usr/lib/os-release", 64 << 10, &os_release, &size, &error);

    if (status != DDI_OK)
        fprintf(stderr, "%s: %s\n", argv[1], ddi_error_message(error));
    else
        status = print_line((const char *)os_release, "VERSION_ID=");
    ddi_free(os_release);
    ddi_free(image);
    ddi_free(trust);
    ddi_free(error);
    return status;
}
