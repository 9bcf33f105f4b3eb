// A stock host: runs a plugin as Vault does, with the host's side of Vault's own SDK, and plays a script of requests to it. It
// shows that plugins built with Cofferdam's SDK run in Vault.
//
//	stockhost [-name N] [-type secret|auth] [-arg A]… [-env K=V]… [-sha256 HEX] [-log LEVEL] PLUGIN
//
// Each line of stdin is an order, each line of stdout its answer; both are JSON objects. See order and play for their fields.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "stockhost:", err)
		os.Exit(1)
	}
}

func run() error {
	runner := new(pluginutil.PluginRunner)
	flag.StringVar(&runner.Name, "name", "plugin", "the plugin's name in the catalog")
	kind := flag.String("type", "secret", "secret or auth")
	sum := flag.String("sha256", "", "what the plugin's file must hash to; by default what it does hash to")
	level := flag.String("log", "warn", "what of the plugin's log goes to stderr")
	flag.Func("arg", "an argument for the plugin", func(arg string) error {
		runner.Args = append(runner.Args, arg)
		return nil
	})
	flag.Func("env", "a variable for the plugin, such as K=V", func(variable string) error {
		runner.Env = append(runner.Env, variable)
		return nil
	})
	flag.Parse()
	if flag.NArg() != 1 {
		return errors.New("needs one argument, the plugin's file")
	}
	var err error
	if runner.Type, err = pluginType(*kind); err != nil {
		return err
	}
	if runner.Command, err = filepath.Abs(flag.Arg(0)); err != nil {
		return err
	}
	if runner.Sha256, err = digest(runner.Command, *sum); err != nil {
		return err
	}

	h := &host{
		catalog: &catalog{
			StaticSystemView: logical.StaticSystemView{
				DefaultLeaseTTLVal:  time.Hour,
				MaxLeaseTTLVal:      24 * time.Hour,
				ReplicationStateVal: consts.ReplicationPerformanceDisabled | consts.ReplicationDRDisabled,
				PluginEnvironment:   &logical.PluginEnvironment{VaultVersion: "1.21.0"},
				VersionString:       "1.21.0",
			},
			runner: runner,
		},
		log:    hclog.New(&hclog.LoggerOptions{Level: hclog.LevelFromString(*level), Output: os.Stderr}),
		mounts: map[string]*mount{},
	}
	defer h.end()
	return h.play(os.Stdin, os.Stdout)
}

func pluginType(kind string) (consts.PluginType, error) {
	switch kind {
	case "secret":
		return consts.PluginTypeSecrets, nil
	case "auth":
		return consts.PluginTypeCredential, nil
	}
	return consts.PluginTypeUnknown, fmt.Errorf("%q is no type of plugin", kind)
}

func digest(path, given string) ([]byte, error) {
	if given != "" {
		return hex.DecodeString(given)
	}
	content, err := os.ReadFile(path)
	sum := sha256.Sum256(content)
	return sum[:], err
}

// play reads orders until there are no more, and writes their answers; to those in the background when they are done.
func (h *host) play(script io.Reader, answers io.Writer) error {
	var writing sync.Mutex
	var background sync.WaitGroup
	out := json.NewEncoder(answers)
	out.SetEscapeHTML(false)
	say := func(o order) {
		answer := h.obey(context.Background(), o)
		answer["op"] = o.Op
		if o.ID != "" {
			answer["id"] = o.ID
		}
		writing.Lock()
		defer writing.Unlock()
		if err := out.Encode(answer); err != nil {
			h.log.Error("an answer cannot be written", "error", err)
		}
	}
	lines := bufio.NewScanner(script)
	lines.Buffer(nil, 256<<20)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var o order
		decoder := json.NewDecoder(strings.NewReader(lines.Text()))
		decoder.UseNumber()
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&o); err != nil {
			return fmt.Errorf("%q is no order: %w", lines.Text(), err)
		}
		if o.Background {
			background.Go(func() { say(o) })
		} else {
			say(o)
		}
	}
	background.Wait()
	return lines.Err()
}
