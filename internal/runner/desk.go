package runner

import "os"

// desk is where the commands of a place work, one after the other: each finds a folder
// that is empty. A folder in which nothing was ever made is another command's next. File
// systems that do not give out the number of a file again at once make it dear to make
// and remove one for each command: ext4 took a sixth of all the time of a short one.
// The commands are of one run, so of one user: what a process that has left its group
// may still write there, it could have written elsewhere.
// It belongs to one goroutine at a time.
type desk struct {
	folder string
	made   os.FileInfo // of the folder, when it was made
}

// take returns an empty folder.
func (d *desk) take() (string, error) {
	if d.folder != "" {
		return d.folder, nil
	}
	folder, err := os.MkdirTemp("", "tutti-run-")
	if err != nil {
		return "", err
	}
	if d.made, err = os.Lstat(folder); err != nil {
		_ = os.Remove(folder)
		return "", err
	}
	d.folder = folder
	return folder, nil
}

// clear removes the folder, unless it is as it was made.
func (d *desk) clear() {
	now, err := os.Lstat(d.folder)
	if err == nil && os.SameFile(now, d.made) && now.Mode() == d.made.Mode() && now.ModTime().Equal(d.made.ModTime()) {
		if list, err := os.ReadDir(d.folder); err == nil && len(list) == 0 {
			return
		}
	}
	d.close()
}

// close removes the folder.
func (d *desk) close() {
	if d.folder != "" {
		_ = os.RemoveAll(d.folder)
	}
	d.folder = ""
}
