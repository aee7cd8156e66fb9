package terraform

import (
	"io/fs"
	"slices"
	"strings"
)

// tracked is a file system without what terraform leaves behind in a folder.
type tracked struct{ fs.FS }

func (f tracked) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(f.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".terraform") }), err
}
