// Command console makes internal/console/assets of internal/console/ui: one
// script and one stylesheet, minified, and everything gzipped. It bundles with
// esbuild and needs nothing but Go.
//
//	console [-check] FOLDER    FOLDER is internal/console
//
// With -check it writes nothing, and fails when the assets are not those of the
// sources.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// libraries are what the sources import by name.
var libraries = map[string]string{
	"preact":             "preact/preact.mjs",
	"preact/hooks":       "preact/hooks.mjs",
	"preact/jsx-runtime": "preact/jsxRuntime.mjs",
	"uplot":              "uplot/uPlot.esm.js",
	"uplot/style":        "uplot/uPlot.min.css",
}

func main() {
	check := flag.Bool("check", false, "write nothing; fail when the assets are not those of the sources")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: console [-check] FOLDER")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

func run(folder string, check bool) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	files, err := bundle(filepath.Join(folder, "ui"))
	if err != nil {
		return err
	}
	for name, source := range map[string][]string{
		"index.html": {"index.html"}, "icon.svg": {"icon.svg"},
		"licences.txt": {"vendor/preact/LICENSE", "vendor/uplot/LICENSE"},
	} {
		for _, s := range source {
			b, err := os.ReadFile(filepath.Join(folder, "ui", filepath.FromSlash(s)))
			if err != nil {
				return err
			}
			if len(source) > 1 {
				b = append([]byte(filepath.Base(filepath.Dir(s))+"\n\n"), append(b, '\n')...)
			}
			files[name] = append(files[name], b...)
		}
	}
	total := 0
	for name, plain := range files {
		path := filepath.Join(folder, "assets", name+".gz")
		old, err := unzipped(path)
		if check {
			if err != nil {
				return err
			}
			if !bytes.Equal(old, plain) {
				return fmt.Errorf("%s is not what its sources make: run make console", path)
			}
			continue
		}
		// What is the same stays, whatever this version of gzip makes of it.
		if err != nil || !bytes.Equal(old, plain) {
			if err := os.WriteFile(path, zipped(plain), 0o644); err != nil {
				return err
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		total += int(info.Size())
		fmt.Printf("%-14s %7d bytes, gzipped %6d\n", name, len(plain), info.Size())
	}
	if !check {
		fmt.Printf("%-14s %7s        gzipped %6d\n", "together", "", total)
	}
	return nil
}

// bundle returns app.js and app.css.
func bundle(ui string) (map[string][]byte, error) {
	result := api.Build(api.BuildOptions{
		EntryPoints:       []string{filepath.Join(ui, "app.jsx"), filepath.Join(ui, "app.css")},
		AbsWorkingDir:     ui,
		Outdir:            "/",
		Bundle:            true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		Charset:           api.CharsetUTF8,
		LegalComments:     api.LegalCommentsEndOfFile,
		LogLevel:          api.LogLevelWarning,
		Plugins: []api.Plugin{{Name: "libraries", Setup: func(b api.PluginBuild) {
			b.OnResolve(api.OnResolveOptions{Filter: `^(preact|uplot)`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
				file, ok := libraries[a.Path]
				if !ok {
					return api.OnResolveResult{}, fmt.Errorf("%s is not among the libraries", a.Path)
				}
				return api.OnResolveResult{Path: filepath.Join(ui, "vendor", filepath.FromSlash(file))}, nil
			})
		}}},
	})
	if len(result.Errors) > 0 {
		return nil, errors.New("the sources do not build")
	}
	files := map[string][]byte{}
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	return files, nil
}

func zipped(plain []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is one
	}
	_, err = z.Write(plain)
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

func unzipped(path string) (plain []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return io.ReadAll(z)
}
