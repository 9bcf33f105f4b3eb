package main

import (
	"context"
	"errors"
	"sync"

	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// catalog knows one plugin, and starts processes of it as Vault's catalog does: one for all mounts where the plugin can serve
// several, one for each where it cannot.
type catalog struct {
	logical.StaticSystemView
	runner *pluginutil.PluginRunner

	mu     sync.Mutex
	shared *process
	// started are all processes ever, so that none outlives the host.
	started []*goplugin.Client
}

// process is a running plugin. The last connection that closes ends it.
type process struct {
	*goplugin.GRPCClient
	client      *goplugin.Client
	connections int
}

func (c *catalog) multiplexed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shared != nil
}

func (c *catalog) LookupPlugin(ctx context.Context, name string, kind consts.PluginType) (*pluginutil.PluginRunner, error) {
	return c.LookupPluginVersion(ctx, name, kind, "")
}

func (c *catalog) LookupPluginVersion(context.Context, string, consts.PluginType, string) (*pluginutil.PluginRunner, error) {
	return c.runner, nil
}

func (c *catalog) NewPluginClient(ctx context.Context, config pluginutil.PluginClientConfig) (pluginutil.PluginClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.shared
	if p == nil {
		var err error
		if p, err = c.start(ctx, config); err != nil {
			return nil, err
		}
		multiplexed, err := pluginutil.MultiplexingSupported(ctx, p.Conn, config.Name)
		if err != nil {
			return nil, err
		}
		if multiplexed {
			c.shared = p
		}
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, err
	}
	p.connections++
	return &connection{process: p, catalog: c, id: id}, nil
}

func (c *catalog) start(ctx context.Context, config pluginutil.PluginClientConfig) (*process, error) {
	client, err := c.runner.RunConfig(ctx,
		pluginutil.Runner(c),
		pluginutil.PluginSets(config.PluginSets),
		pluginutil.HandshakeConfig(config.HandshakeConfig),
		pluginutil.Logger(config.Logger),
		pluginutil.MetadataMode(config.IsMetadataMode),
		pluginutil.AutoMTLS(config.AutoMTLS),
	)
	if err != nil {
		return nil, err
	}
	c.started = append(c.started, client)
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	spoken, ok := protocol.(*goplugin.GRPCClient)
	if !ok {
		return nil, errors.New("the plugin does not speak gRPC")
	}
	return &process{GRPCClient: spoken, client: client}, nil
}

// end kills what still runs.
func (c *catalog) end() {
	for _, client := range c.started {
		client.Kill()
	}
}

// connection is one mount's way to a process.
type connection struct {
	*process
	catalog *catalog
	id      string
}

func (c *connection) Conn() grpc.ClientConnInterface {
	return &named{ClientConnInterface: c.GRPCClient.Conn, id: c.id}
}

func (c *connection) Close() error {
	c.catalog.mu.Lock()
	defer c.catalog.mu.Unlock()
	if c.connections--; c.connections == 0 {
		c.client.Kill()
		if c.catalog.shared == c.process {
			c.catalog.shared = nil
		}
	}
	return nil
}

func (c *connection) Reload() error {
	c.client.Kill()
	return nil
}

// named says with each call for which mount it is.
type named struct {
	grpc.ClientConnInterface
	id string
}

func (n *named) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	return n.ClientConnInterface.Invoke(n.name(ctx), method, args, reply, options...)
}

func (n *named) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return n.ClientConnInterface.NewStream(n.name(ctx), desc, method, options...)
}

func (n *named) name(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pluginutil.MultiplexingCtxKey, n.id)
}
