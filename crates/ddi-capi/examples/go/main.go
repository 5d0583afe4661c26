// Tells whether an image may be installed, and which version it is: gate-update IMAGE CERTIFICATE POLICY.
//
//	CGO_CFLAGS="$(pkg-config --cflags ddi)" CGO_LDFLAGS="$(pkg-config --libs ddi)" go build
package main

// #include <stdlib.h>
// #include <ddi.h>
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// ended turns an answer of libddi into an error, and frees its reason. A pointer, as Go may look at a variable before the call
// beside it.
func ended(status C.int, reason **C.ddi_error) error {
	defer C.ddi_free(unsafe.Pointer(*reason))
	if status == C.DDI_OK {
		return nil
	}
	return errors.New(C.GoString(C.ddi_error_message(*reason)))
}

// osRelease is that of a genuine image; anything else is an error.
func osRelease(file, certificate, policy string) (string, error) {
	var reason *C.ddi_error
	text := func(s string) *C.char { return C.CString(s) }
	paths := []*C.char{text(file), text(certificate), text(policy), text("/usr/lib/os-release")}
	defer func() {
		for _, path := range paths {
			C.free(unsafe.Pointer(path))
		}
	}()

	trust := C.ddi_trust_new()
	defer C.ddi_free(unsafe.Pointer(trust))
	if err := ended(C.ddi_trust_certificates(trust, paths[1], &reason), &reason); err != nil {
		return "", err
	}
	if err := ended(C.ddi_trust_policy(trust, paths[2], &reason), &reason); err != nil {
		return "", err
	}
	var image *C.ddi_image
	if err := ended(C.ddi_image_open(paths[0], trust, &image, &reason), &reason); err != nil {
		return "", err
	}
	defer C.ddi_free(unsafe.Pointer(image))
	if err := ended(C.ddi_image_verify(image, nil, nil, nil, &reason), &reason); err != nil {
		return "", err
	}
	var bytes unsafe.Pointer
	var size C.size_t
	if err := ended(C.ddi_image_read_file(image, paths[3], 64<<10, &bytes, &size, &reason), &reason); err != nil {
		return "", err
	}
	defer C.ddi_free(bytes)
	return string(C.GoBytes(bytes, C.int(size))), nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "gate-update IMAGE CERTIFICATE POLICY")
		os.Exit(2)
	}
	text, err := osRelease(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "VERSION_ID=") {
			fmt.Printf("%s\n", strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return '?'
				}
				return r
			}, line))
		}
	}
}
