package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

// order is one line of the script.
type order struct {
	// Op is setup, initialize, type, version, special-paths, exists, invalidate, cleanup, keys, or an operation such as read.
	Op string `json:"op"`
	// Mount names the mount; setup makes it.
	Mount string `json:"mount"`
	// ID comes back with the answer.
	ID string `json:"id"`
	// Background lets the script go on before the answer.
	Background bool `json:"background"`

	// For setup: the mount's options; and whether there is no mount, only a question what the plugin is.
	Config  map[string]string `json:"config"`
	Nowhere bool              `json:"nowhere"`

	// For requests.
	Path        string              `json:"path"`
	Data        map[string]any      `json:"data"`
	Headers     map[string][]string `json:"headers"`
	DisplayName string              `json:"display_name"`
	EntityID    string              `json:"entity_id"`
	Accessor    string              `json:"accessor"`
	Address     string              `json:"address"`
	// For renew and revoke: what the plugin stored with the lease, of a secret or of a login.
	Secret map[string]any `json:"secret"`
	Auth   map[string]any `json:"auth"`
}

// answer has the order's op and id; what was asked for; the error, if it failed; and the status that Vault answers with, where
// that is not simply success. A response's fields are data, secret, auth, redirect, warnings and headers.
type answer map[string]any

type host struct {
	catalog *catalog
	log     hclog.Logger

	mu     sync.Mutex
	mounts map[string]*mount
}

// mount is a backend and what it stores.
type mount struct {
	backend logical.Backend
	storage logical.Storage
}

func (h *host) obey(ctx context.Context, o order) answer {
	if o.Op == "setup" {
		return h.setup(ctx, o)
	}
	h.mu.Lock()
	m := h.mounts[o.Mount]
	h.mu.Unlock()
	if m == nil {
		return failed(fmt.Errorf("nothing is mounted at %q", o.Mount))
	}
	switch o.Op {
	case "initialize":
		return failed(m.backend.Initialize(ctx, &logical.InitializationRequest{Storage: m.storage}))
	case "type":
		return answer{"type": m.backend.Type().String()}
	case "version":
		return answer{"version": version(m.backend)}
	case "special-paths":
		return answer{"paths": m.backend.SpecialPaths()}
	case "exists":
		o.Op = string(logical.UpdateOperation)
		known, exists, err := m.backend.HandleExistenceCheck(ctx, request(o, m))
		a := failed(err)
		a["known"], a["exists"] = known, exists
		return a
	case "invalidate":
		m.backend.InvalidateKey(ctx, o.Path)
		return answer{}
	case "keys":
		keys, err := logical.CollectKeys(ctx, m.storage)
		slices.Sort(keys)
		a := failed(err)
		a["keys"] = keys
		return a
	case "cleanup":
		m.backend.Cleanup(ctx)
		h.mu.Lock()
		delete(h.mounts, o.Mount)
		h.mu.Unlock()
		return answer{}
	}
	req := request(o, m)
	response, err := m.backend.HandleRequest(ctx, req)
	return shown(req, response, err)
}

// setup mounts the plugin once more, in a process of its own or in the one that serves already.
func (h *host) setup(ctx context.Context, o order) answer {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return failed(err)
	}
	runner := h.catalog.runner
	config := map[string]string{"plugin_name": runner.Name, "plugin_type": runner.Type.String(), "plugin_version": runner.Version}
	maps.Copy(config, o.Config)
	conf := &logical.BackendConfig{
		StorageView: new(logical.InmemStorage),
		Logger:      h.log,
		System:      h.catalog,
		Config:      config,
		BackendUUID: id,
	}
	if o.Nowhere {
		conf.StorageView = nil
	}
	backend, err := h.start(ctx, conf)
	if err != nil {
		return failed(err)
	}
	if err := backend.Setup(ctx, conf); err != nil {
		// The SDK's own cleanup may wait for a plugin that never came back to the broker.
		go backend.Cleanup(ctx)
		return failed(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mounts[o.Mount] = &mount{backend, conf.StorageView}
	return answer{"multiplexed": h.catalog.multiplexed()}
}

// start gets a backend with AutoMTLS, or failing that as before there was AutoMTLS.
func (h *host) start(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	r := h.catalog.runner
	backend, problem := plugin.NewBackendV5(ctx, r.Name, r.Type, r.Version, h.catalog, conf)
	if problem == nil {
		return backend, nil
	}
	// What the plugin is, it says in metadata mode, without a certificate.
	backend, err := plugin.NewBackendWithVersion(ctx, r.Name, r.Type, h.catalog, conf, true, r.Version)
	if err != nil {
		return nil, errors.Join(problem, err)
	}
	if err := backend.Setup(ctx, conf); err != nil {
		return nil, errors.Join(problem, err)
	}
	h.log.Info("the plugin runs in metadata mode", "type", backend.Type())
	backend.Cleanup(ctx)
	return plugin.NewBackendWithVersion(ctx, r.Name, r.Type, h.catalog, conf, false, r.Version)
}

// end takes leave of every plugin.
func (h *host) end() {
	for _, m := range h.mounts {
		m.backend.Cleanup(context.Background())
	}
	h.catalog.end()
}

func version(backend logical.Backend) string {
	if versioner, ok := backend.(logical.PluginVersioner); ok {
		return versioner.PluginVersion().Version
	}
	return ""
}

func request(o order, m *mount) *logical.Request {
	id, _ := uuid.GenerateUUID()
	req := &logical.Request{
		ID:                  id,
		Operation:           logical.Operation(o.Op),
		Path:                o.Path,
		Data:                o.Data,
		Storage:             m.storage,
		Headers:             o.Headers,
		DisplayName:         o.DisplayName,
		EntityID:            o.EntityID,
		ClientTokenAccessor: o.Accessor,
		MountPoint:          o.Mount + "/",
	}
	if o.Address != "" {
		req.Connection = &logical.Connection{RemoteAddr: o.Address}
	}
	if o.Secret != nil {
		req.Secret = &logical.Secret{InternalData: o.Secret}
	}
	if o.Auth != nil {
		req.Auth = &logical.Auth{InternalData: o.Auth}
	}
	return req
}

// shown returns what Vault would make of a response: `status` is its HTTP status where that is not simply success.
func shown(req *logical.Request, response *logical.Response, err error) answer {
	status, cause := logical.RespondErrorCommon(req, response, err)
	logical.AdjustErrorStatusCode(&status, cause)
	a := failed(cause)
	if status != 0 {
		a["status"] = status
	}
	if response == nil {
		return a
	}
	a["data"] = response.Data
	if response.Secret != nil {
		a["secret"] = lease(response.Secret.LeaseOptions, response.Secret.InternalData)
	}
	if auth := response.Auth; auth != nil {
		login := lease(auth.LeaseOptions, auth.InternalData)
		login["display_name"], login["policies"], login["metadata"] = auth.DisplayName, auth.Policies, auth.Metadata
		login["entity_id"], login["num_uses"], login["no_default_policy"] = auth.EntityID, auth.NumUses, auth.NoDefaultPolicy
		login["period"] = auth.Period.Seconds()
		if auth.Alias != nil {
			login["alias"] = auth.Alias.Name
		}
		a["auth"] = login
	}
	if response.Redirect != "" {
		a["redirect"] = response.Redirect
	}
	if len(response.Warnings) > 0 {
		a["warnings"] = response.Warnings
	}
	if len(response.Headers) > 0 {
		a["headers"] = response.Headers
	}
	return a
}

func lease(options logical.LeaseOptions, internal map[string]any) answer {
	return answer{
		"ttl":       options.TTL.Seconds(),
		"max_ttl":   options.MaxTTL.Seconds(),
		"renewable": options.Renewable,
		"internal":  internal,
	}
}

func failed(err error) answer {
	if err == nil {
		return answer{}
	}
	return answer{"error": err.Error()}
}
