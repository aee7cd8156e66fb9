// Package toolcache is the folder in which tests keep the programs that they have installed: brokers and servers that every
// test process of the user shares.
package toolcache

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Open returns the folder, locked against every other test process until unlock is called, or until this process ends.
func Open() (root string, unlock func(), err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, fmt.Errorf("find the cache directory: %w", err)
	}
	root = filepath.Join(cache, "kafka-sidecar-tests")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", nil, fmt.Errorf("make the cache directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", nil, fmt.Errorf("open the lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return "", nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return root, func() { f.Close() }, nil
}
