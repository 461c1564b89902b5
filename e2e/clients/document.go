package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// The page for people is made of a template, of what the last whole run has shown,
// and of the files with the settings, so that what it says is what was run.

const (
	pageFile     = "../../docs/CLIENTS.md"
	templateFile = "clients.md.tmpl"
	resultsFile  = "results.json"
)

// page is what the template uses.
type page struct{ results []result }

// keepResults writes the results of a whole run.
func keepResults(results []result) error {
	b, err := json.MarshalIndent(results, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(resultsFile, append(b, '\n'), 0o644)
}

func writePage() error {
	text, err := render()
	if err != nil {
		return err
	}
	return os.WriteFile(pageFile, []byte(text), 0o644)
}

// render makes the page of the results that are kept.
func render() (string, error) {
	b, err := os.ReadFile(resultsFile)
	if err != nil {
		return "", err
	}
	var p page
	if err := json.Unmarshal(b, &p.results); err != nil {
		return "", fmt.Errorf("%s: %w", resultsFile, err)
	}
	t, err := template.ParseFiles(templateFile)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = t.Execute(&text, &p)
	return text.String(), err
}

// Table has a row for each client and mode, in the order in which they were tried.
func (p *page) Table(secure bool) string {
	var text strings.Builder
	head, line := "| client | way |", "|---|---|"
	for _, f := range faults {
		head += " " + f.name + ": commands | failed | longest gap | twice |"
		line += "--:|--:|--:|--:|"
	}
	text.WriteString(head + "\n" + line)
	var rows []string // names of those that are written
	for _, r := range p.results {
		row := r.Client + " " + r.Version + " | " + string(r.Mode)
		if r.TLS != secure || slices.Contains(rows, row) {
			continue
		}
		rows = append(rows, row)
		text.WriteString("\n| " + row + " |")
		for _, f := range faults {
			text.WriteString(" " + p.cells(r, f) + " |")
		}
	}
	return text.String()
}

// cells are those of the fault in the row of r.
func (p *page) cells(r result, f fault) string {
	for _, x := range p.results {
		if x.Client == r.Client && x.Mode == r.Mode && x.TLS == r.TLS && x.Fault == f.name {
			failed := fmt.Sprint(x.Failed)
			if x.Failed > 0 {
				failed = "**" + failed + "**"
			}
			return fmt.Sprintf("%d | %s | %.1f s | %d", x.Commands, failed, float64(x.GapMS)/1000, x.Twice)
		}
	}
	return "| | |"
}

// Broken is how many acknowledged writes were lost, and reads stale, in all runs.
func (p *page) Broken() (n int) {
	for _, r := range p.results {
		n += r.Lost + r.Stale
	}
	return n
}

// Commands is how many commands were sent in all runs.
func (p *page) Commands() (n int) {
	for _, r := range p.results {
		n += r.Commands
	}
	return n
}

// Settings is a file as code of the page.
func (p *page) Settings(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	language := map[string]string{".go": "go", ".js": "js", ".py": "python"}[filepath.Ext(file)]
	return "```" + language + "\n" + strings.TrimSpace(string(b)) + "\n```", nil
}
