// The probe without multiplexing: a process for each mount. Built with old.mod it is a plugin of 2023.
package main

import (
	"log"

	"cofferdam/guests/internal/probe"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	if err := plugin.Serve(&plugin.ServeOpts{BackendFactoryFunc: probe.Factory}); err != nil {
		log.Fatal(err)
	}
}
