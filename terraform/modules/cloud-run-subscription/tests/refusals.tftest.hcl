# What the module refuses.
mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = { email = "mocked@my-project.iam.gserviceaccount.com" }
  }
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  bootstrap_servers = "broker-1.example.com:9092"
  image             = "europe-docker.pkg.dev/my-project/images/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  project_id        = "my-project"
  location          = "europe-west3"
  network           = { subnetwork = "main" }
}

run "no_network" {
  command = plan

  variables {
    network = {}
  }

  expect_failures = [var.network]
}

run "half_a_cpu" {
  command = plan

  variables {
    cpu = "0.5"
  }

  expect_failures = [var.cpu]
}

run "half_an_instance" {
  command = plan

  variables {
    instances = 1.5
  }

  expect_failures = [var.instances]
}

run "secret_by_value" {
  command = plan

  variables {
    secrets = { HANDLER_HEADERS = { secret = "authorization: Bearer s3cret", version = "1" } }
  }

  expect_failures = [var.secrets]
}

run "secret_over_an_input" {
  command = plan

  variables {
    secrets = { SUBSCRIPTION_ID = { secret = "x", version = "1" } }
  }

  expect_failures = [var.secrets]
}

run "schedule_of_another_form" {
  command = plan

  variables {
    schedule = { expression = "rate(1 hour)", end_at = "latest" }
  }

  expect_failures = [var.schedule]
}

run "schedule_with_instances" {
  command = plan

  variables {
    schedule  = { expression = "0 3 * * *", end_at = "latest" }
    instances = 2
  }

  expect_failures = [var.schedule]
}

run "admin_elsewhere" {
  command = plan

  variables {
    env = { ADMIN_ADDR = ":1" }
  }

  expect_failures = [google_cloud_run_v2_worker_pool.this]
}

run "image_by_tag" {
  command = plan

  variables {
    image = "europe-docker.pkg.dev/my-project/images/kafka-sidecar:1"
  }

  expect_failures = [check.image_is_pinned]
}

run "end_without_a_schedule" {
  command = plan

  variables {
    env = { END_AT = "latest" }
  }

  expect_failures = [google_cloud_run_v2_worker_pool.this]
}

run "longer_than_cloud_run_waits" {
  command = plan

  variables {
    env = { SHUTDOWN_TIMEOUT = "60s" }
  }

  expect_failures = [google_cloud_run_v2_worker_pool.this]
}

run "longer_than_cloud_run_waits_for_a_job" {
  command = plan

  variables {
    schedule = { expression = "0 3 * * *", end_at = "latest" }
    env      = { SHUTDOWN_TIMEOUT = "60s" }
  }

  expect_failures = [google_cloud_run_v2_job.this]
}

run "subscription_of_another_name" {
  command = plan

  variables {
    env = { SUBSCRIPTION_ID = "billing" }
  }

  expect_failures = [var.env]
}

run "loopback_without_a_handler" {
  command = plan

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/orders" }
  }

  expect_failures = [var.handler_container]
}

run "handler_beside_a_sink_elsewhere" {
  command = plan

  variables {
    handler_container = { image = "billing:1", health_check = { port = 8080 } }
  }

  expect_failures = [var.handler_container]
}

run "handler_that_never_ends" {
  command = plan

  variables {
    subscription      = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/orders" }
    handler_container = { image = "billing:1", health_check = { port = 8080 } }
    schedule          = { expression = "0 3 * * *", end_at = "latest" }
  }

  expect_failures = [var.handler_container]
}

run "handler_secret_by_value" {
  command = plan

  variables {
    subscription      = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/orders" }
    handler_container = { image = "billing:1", health_check = { port = 8080 }, secrets = { TOKEN = { secret = "s3cret!", version = "1" } } }
  }

  expect_failures = [var.handler_container]
}

run "handler_secret_over_its_environment" {
  command = plan

  variables {
    subscription      = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/orders" }
    handler_container = { image = "billing:1", health_check = { port = 8080 }, environment = { TOKEN = "x" }, secrets = { TOKEN = { secret = "token", version = "1" } } }
  }

  expect_failures = [var.handler_container]
}

run "alarm_to_an_address" {
  command = plan

  variables {
    alarms = { actions = ["oncall@example.com"] }
  }

  expect_failures = [var.alarms]
}

run "metrics_that_alarms_turn_on" {
  command = plan

  variables {
    alarms = { actions = [] }
    env    = { METRICS_EMF = "false" }
  }

  expect_failures = [var.env]
}
